from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from sessions.actions import deadlines
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry, Source
from sessions.models import EndReason, Status, StreamingSession
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db

IDLE_TIMEOUT = timedelta(minutes=3)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@pytest.fixture
def session() -> StreamingSession:
    """A session that connects since now."""
    made: StreamingSession = StreamingSessionFactory.create(status=Status.CONNECTING)
    made.persona_settings |= {"idle_timeout_s": IDLE_TIMEOUT.total_seconds()}
    now = timezone.now()
    made.created_at = made.active_at = now
    made.ends_at, made.deadline_at = now + timedelta(hours=1), now + seconds(60)
    made.save()
    return made


def report(session: StreamingSession, kind: EventKind, after: timedelta, **data: Any) -> None:
    with time_machine.travel(session.created_at + after, tick=False):
        deadlines.record_waiting(session.pk, Entry(kind, data, Source.BROWSER, timezone.now()))


def end_reason(session: StreamingSession, after: timedelta) -> str:
    """Return the worker's end reason at this time, or an empty string."""
    now = session.created_at + after
    with time_machine.travel(now, tick=False):
        deadlines.claim_due(now)
    session.refresh_from_db()
    return session.end_reason


def test_without_a_report_a_session_without_video_ends_after_a_minute(session: StreamingSession) -> None:
    assert end_reason(session, seconds(59)) == ""
    assert end_reason(session, seconds(60)) == EndReason.NO_PICTURE


@pytest.mark.parametrize("because", ["hidden", "playback_blocked"])
def test_a_session_whose_page_waits_for_the_user_ends_at_the_idle_limit(
    session: StreamingSession, because: str
) -> None:
    report(session, EventKind.WAITING, seconds(5), because=because)
    assert end_reason(session, seconds(60)) == ""
    assert end_reason(session, IDLE_TIMEOUT - seconds(1)) == ""
    assert end_reason(session, IDLE_TIMEOUT) == EndReason.IDLE


def test_the_time_in_which_no_frame_can_appear_is_not_counted(session: StreamingSession) -> None:
    report(session, EventKind.WAITING, seconds(10), because="hidden")
    assert end_reason(session, seconds(60)) == ""
    report(session, EventKind.WAITING_OVER, seconds(90))
    session.refresh_from_db()
    assert session.deadline_at == session.created_at + seconds(140)  # 10 s before, 50 s after
    assert end_reason(session, seconds(139)) == ""
    assert end_reason(session, seconds(140)) == EndReason.NO_PICTURE


def test_repeated_or_unpaired_reports_count_once(session: StreamingSession) -> None:
    report(session, EventKind.WAITING_OVER, seconds(5))
    for kind, at in ((EventKind.WAITING, 10), (EventKind.WAITING, 20), (EventKind.WAITING_OVER, 30)):
        report(session, kind, seconds(at), because="hidden")
    report(session, EventKind.WAITING_OVER, seconds(50))
    assert end_reason(session, seconds(79)) == ""
    assert end_reason(session, seconds(80)) == EndReason.NO_PICTURE


def test_no_number_of_reports_prolongs_a_session_beyond_the_idle_limit(session: StreamingSession) -> None:
    for start in range(0, 170, 10):
        report(session, EventKind.WAITING, seconds(start), because="hidden")
        report(session, EventKind.WAITING_OVER, seconds(start + 9.5))
        assert end_reason(session, seconds(start + 9.9)) == ""
    assert end_reason(session, IDLE_TIMEOUT) == EndReason.NO_PICTURE


@pytest.mark.parametrize("moment", ["1970-01-01T00:00:00+00:00", "9999-01-01T00:00:00+00:00"])
def test_reports_with_impossible_times_do_not_prolong_a_session(session: StreamingSession, moment: str) -> None:
    at = datetime.fromisoformat(moment)
    for kind in (EventKind.WAITING, EventKind.WAITING_OVER):
        deadlines.record_waiting(session.pk, Entry(kind, {}, Source.BROWSER, at))
    assert end_reason(session, seconds(60)) == EndReason.NO_PICTURE


def test_only_the_pages_own_reports_count(session: StreamingSession) -> None:
    events.record(session.pk, Entry(EventKind.WAITING, {"because": "hidden"}))
    assert end_reason(session, seconds(60)) == EndReason.NO_PICTURE


def test_a_postponed_deadline_is_not_taken_for_a_changed_one(session: StreamingSession) -> None:
    report(session, EventKind.WAITING, seconds(5), because="hidden")
    assert end_reason(session, seconds(60)) == ""
    with time_machine.travel(session.created_at + seconds(70), tick=False):
        assert deadlines.repair_deadlines(timezone.now()) == 0
    assert not session.events.filter(kind=EventKind.DEADLINE_REPAIRED).exists()
