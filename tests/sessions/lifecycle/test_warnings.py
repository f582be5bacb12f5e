"""A session from its first frame to its limit, checked only when its row is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from heygen_portal.providers.contract.provider import ProviderSession
from sessions.actions import deadlines
from sessions.lifecycle import transitions
from sessions.models import StreamingSession
from tests.support.factories import PersonaFactory, UserFactory

pytestmark = pytest.mark.django_db

Sent = list[dict[str, Any]]


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(datetime(2026, 3, 2, 9, tzinfo=UTC), tick=False) as clock:
        yield clock


def conversation(theirs: timedelta | None, **limit: timedelta) -> StreamingSession:
    """Bring a session to its first frame; the provider has named its own limit."""
    session = transitions.request(PersonaFactory.create(published=True, **limit), UserFactory.create().pk)
    assert transitions.connect(session, ProviderSession("theirs", None, theirs))
    assert transitions.go_live(session)
    return session


def events_over_time(session: StreamingSession, clock: time_machine.Traveller, sent: Sent) -> list[tuple[int, str]]:
    """Advance the clock to each deadline until the stop; return the events."""
    began, happened = session.created_at, []
    while True:
        session.refresh_from_db()
        assert session.deadline_at is not None
        clock.move_to(session.deadline_at)
        second = round((timezone.now() - began).total_seconds())
        taken = deadlines.claim_due(timezone.now())
        happened += [(second, f"{event['why']} in {event['seconds']}") for event in sent if "seconds" in event]
        sent.clear()
        if taken:
            return [*happened, (second, taken[0].end_reason)]


@pytest.mark.parametrize(
    ("theirs", "end"), [(timedelta(minutes=2), 120), (timedelta(minutes=10), 300), (None, 300)], ids=str
)
def test_the_lower_duration_limit_warns_twice_and_ends_the_session_to_the_second(
    clock: time_machine.Traveller, announced: Sent, theirs: timedelta | None, end: int
) -> None:
    """Requirement 23; complaints 5, 19."""
    five_minutes = timedelta(minutes=5)
    session = conversation(theirs, duration_limit=five_minutes, idle_timeout=timedelta(minutes=9))
    announced.clear()
    assert events_over_time(session, clock, announced) == [
        (end - 60, "duration_limit in 60"),
        (end - 15, "duration_limit in 15"),
        (end, "duration_limit"),
    ]


def test_inactivity_warns_twice_and_ends_the_session_before_its_duration_limit(
    clock: time_machine.Traveller, announced: Sent
) -> None:
    """Complaint 5: our own clock decides, whatever the provider considers idle."""
    session = conversation(None, idle_timeout=timedelta(minutes=3))
    announced.clear()
    assert events_over_time(session, clock, announced) == [(120, "idle in 60"), (165, "idle in 15"), (180, "idle")]


def test_staying_restarts_the_whole_idle_timeout(clock: time_machine.Traveller, announced: Sent) -> None:
    """Complaint 5."""
    session = conversation(None, idle_timeout=timedelta(minutes=3))
    clock.shift(150)
    deadlines.stay(session.pk)
    announced.clear()
    assert events_over_time(session, clock, announced) == [(270, "idle in 60"), (315, "idle in 15"), (330, "idle")]


def test_activity_does_not_extend_the_duration_limit(clock: time_machine.Traveller, announced: Sent) -> None:
    """Complaint 19: an active user is warned, too, and stopped at the same second."""
    session = conversation(timedelta(minutes=2), idle_timeout=timedelta(seconds=90))
    clock.shift(59)
    deadlines.record_activity(session.pk)
    announced.clear()
    happened = events_over_time(session, clock, announced)
    assert happened[0] == (60, "duration_limit in 60")
    assert happened[-1] == (120, "duration_limit")
