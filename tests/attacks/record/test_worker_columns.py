"""Tampering with the columns by which the worker finds its work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from avatars.models import ProviderAccount
from sessions.actions import deadlines
from sessions.costs import ledger
from sessions.integrity import verification
from sessions.lifecycle import events, transitions
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry, Source
from sessions.models import EndReason, SessionTask, SessionTotal, Status, StreamingSession
from sessions.timeline import page_clock
from tests.sessions.tampering import ended_session, execute_as_owner, live_session, running_session
from tests.support.databases import BOTH
from tests.support.factories import WHY, PersonaFactory, StreamingSessionFactory

SESSIONS = "avatar_sessions_streamingsession"
LATER = "2099-01-01 00:00:00"


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None, announced: object) -> str:
    if request.param == "postgres":
        request.getfixturevalue("postgres")
    return str(request.param)


def change(session: StreamingSession, **columns: Any) -> None:
    StreamingSession.objects.filter(pk=session.pk).update(**columns)


def found() -> set[tuple[str, str, str]]:
    return {(fault.kind, fault.table, fault.column) for fault in verification.faults()}


# The deadline


@pytest.mark.parametrize("status", [Status.CREATING, Status.CONNECTING, Status.LIVE, Status.STOPPING])
def test_a_deadline_beyond_the_limits_is_found_and_repaired(status: Status) -> None:
    session = StreamingSessionFactory.create(status=status)
    events.record(session.pk, Entry("requested"))
    execute_as_owner(f"UPDATE {SESSIONS} SET deadline_at = %s", LATER)
    assert ("row_changed", "session", "deadline_at") in found()
    assert deadlines.repair_deadlines(timezone.now()) == 1
    assert ("row_changed", "session", "deadline_at") not in found()
    assert StreamingSession.objects.due(timezone.now()).get() == session
    assert session.events.order_by("-number").values_list("kind", flat=True)[0] == "deadline_repaired"


def test_a_deadline_at_the_time_limit_does_not_switch_off_the_idle_limit() -> None:
    session = StreamingSessionFactory.create()
    events.record(session.pk, Entry("requested"))
    change(session, deadline_at=session.ends_at, active_at=timezone.now() - timedelta(hours=1))
    assert deadlines.repair_deadlines(timezone.now()) == 1


def test_a_deadline_moved_within_the_time_limit_is_repaired_and_named_for_two_days() -> None:
    session = running_session()
    deadlines.extend_idle_limit(session.pk)
    session.refresh_from_db()
    later = session.active_at + session.idle_timeout + timedelta(minutes=5)
    assert later < session.ends_at
    change(session, deadline_at=later)
    assert found() == {("row_changed", "session", "deadline_at")}
    assert deadlines.repair_deadlines(timezone.now()) == 1
    assert found() == {("deadline_moved", "session", "deadline_at")}
    with time_machine.travel(timezone.now() + timedelta(days=2, minutes=1)):
        assert not any(kind == "deadline_moved" for kind, _table, _column in found())


def test_an_activity_in_the_future_is_named() -> None:
    session = running_session()
    change(session, active_at=timezone.now() + timedelta(minutes=10))
    assert ("row_changed", "session", "active_at") in found()


MOMENT = timedelta(minutes=3)


def test_an_activity_moved_together_with_the_deadline_is_named() -> None:
    session = live_session(PersonaFactory.create(published=True), "one")
    now = timezone.now() + MOMENT
    with time_machine.travel(now, tick=False):
        session.active_at = now
        change(session, active_at=now, deadline_at=transitions.next_check_at(session, is_live=True))
        assert found() == {("row_changed", "session", "active_at")}
        transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
        transitions.end(session)
        assert found() == {("row_changed", "session", "active_at")}


def test_no_cause_of_activity_is_taken_for_a_moved_one() -> None:
    session = live_session(PersonaFactory.create(published=True), "one")

    def report_speech() -> None:
        late = timezone.now() - page_clock.MAX_REPORT_AGE
        events.record(session.pk, Entry(EventKind.USER_START, {}, Source.BROWSER, late))
        deadlines.record_activity(session.pk)

    def send_text() -> None:
        deadlines.accept_task(session.pk, text="Hola", kind=SessionTask.Kind.TALK, user_id=session.user_id)

    causes = (
        lambda: deadlines.stay(session.pk),
        lambda: deadlines.record_interrupted(session.pk, is_accepted=True),
        report_speech,
        send_text,
    )
    for number, cause in enumerate(causes, 1):
        with time_machine.travel(timezone.now() + number * MOMENT, tick=False):
            cause()
            assert StreamingSession.objects.get(pk=session.pk).active_at == timezone.now()
            assert found() == set()


def test_an_account_with_an_unknown_provider_does_not_stop_verification() -> None:
    ended_session()
    ProviderAccount.objects.update(kind="theirs")
    assert found() == set()


def test_lines_without_words_in_the_index_are_named() -> None:
    session = ended_session()
    lines = [session.utterances.create(who="user", by="text", text=text, source="portal") for text in ("¿…?", "Hola")]
    named = [(fault.session, fault.row) for fault in verification.faults() if fault.kind == "unindexed"]
    assert named == []
    lines[1].words.all().delete()
    named = [(fault.session, fault.row) for fault in verification.faults() if fault.kind == "unindexed"]
    assert named == [(str(session.pk), str(lines[1].pk))]


def test_an_invalid_deadline_is_repaired(database: str) -> None:
    session = running_session()
    odd = "infinity" if database == "postgres" else "whenever"
    execute_as_owner(f"UPDATE {SESSIONS} SET deadline_at = %s", odd)
    assert deadlines.repair_deadlines(timezone.now()) == 1
    assert StreamingSession.objects.due(timezone.now()).get() == session


def test_valid_deadlines_are_left_alone() -> None:
    session = running_session()
    deadlines.extend_idle_limit(session.pk)
    before = StreamingSession.objects.get().deadline_at
    assert deadlines.repair_deadlines(timezone.now()) == 0
    assert StreamingSession.objects.get().deadline_at == before
    assert not session.events.filter(kind="deadline_repaired").exists()


# The totals


def test_a_session_wrongly_marked_as_booked_is_found() -> None:
    change(ended_session(), booked_at=timezone.now())
    assert ledger.book_all() == 0
    assert found() == {("row_changed", "session", "booked_at")}


def test_a_session_wrongly_marked_as_unbooked_is_booked_once_and_delays_no_other() -> None:
    booked, new = ended_session(), ended_session()
    change(new, status=Status.STOPPING, ended_at=None, deadline_at=timezone.now())
    assert ledger.book_all() == 1
    change(new, status=Status.ENDED, ended_at=timezone.now(), deadline_at=None)
    StreamingSession.objects.filter(pk=booked.pk).update(booked_at=None)
    assert ("row_changed", "session", "booked_at") in found()
    ledger.book_all()
    assert set(SessionTotal.objects.values_list("pk", flat=True)) == {booked.pk, new.pk}
    assert not any(table in ("total", "day_total") for _how, table, _column in found())


def test_a_row_that_cannot_be_booked_does_not_stop_the_others() -> None:
    odd, fine = ended_session(), ended_session()
    events.record(odd.pk, Entry("provider_record", {"credits": "a lot", "seconds": 1}, events.Source.PROVIDER))
    assert ledger.book_all() == 1
    assert list(SessionTotal.objects.values_list("pk", flat=True)) == [fine.pk]


@pytest.mark.parametrize(("ago", "is_named"), [(timedelta(hours=1), False), (timedelta(days=2), True)])
def test_an_unbooked_session_that_ended_long_ago_is_found(ago: timedelta, is_named: bool) -> None:
    session = ended_session()
    change(session, ended_at=timezone.now() - ago)
    assert (("unbooked", "session", "booked_at") in found()) == is_named


# The provider's record


@pytest.mark.parametrize("due_in", [None, timedelta(days=1000)])
def test_a_session_whose_provider_record_is_never_due_is_found(due_in: timedelta | None) -> None:
    session = running_session()
    ProviderAccount.objects.update(kind="liveavatar")
    events.record(session.pk, Entry("provider_created"))
    due_at = timezone.now() + due_in if due_in else None
    change(
        session, status="ended", ended_at=timezone.now(), deadline_at=None, end_reason="user_stopped",
        record_due_at=due_at,
    )  # fmt: skip
    name = ("row_changed", "session", "record_due_at")
    assert name in found()
    if due_at is None:
        events.record(session.pk, Entry("provider_record_missing"))
        assert name not in found()
