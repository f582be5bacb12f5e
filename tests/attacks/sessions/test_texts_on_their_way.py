"""Texts in status "sending" that were inserted where none can be in flight."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from sessions.integrity import verification
from sessions.lifecycle import transitions
from sessions.models import EndReason, SessionTask, StreamingSession, Utterance
from tests.sessions.tampering import live_session, running_session
from tests.support.databases import BOTH
from tests.support.factories import WHY, PersonaFactory


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


def insert(session: StreamingSession, after_now: timedelta) -> None:
    """Insert a text and its line as the database's owner could, in status "sending"."""
    at = timezone.now() + after_now
    task = SessionTask.objects.create(
        session=session, text="Said by nobody", kind=SessionTask.Kind.TALK, ref="made-up", sent_by=session.user
    )
    SessionTask.objects.filter(pk=task.pk).update(created_at=at)
    Utterance.objects.create(session=session, who="user", by="text", source="portal", at=at, text="Said by nobody")


def found() -> set[tuple[str, str]]:
    return {(fault.kind, fault.table) for fault in verification.faults()}


NAMED = {("row_added", "task"), ("row_added", "line"), ("text_inserted", "line")}
"""The last one for records from before events stated whole rows."""


@pytest.fixture(params=["stated", "of an earlier version"])
def session(request: pytest.FixtureRequest, database: None, announced: object) -> StreamingSession:
    return (
        live_session(PersonaFactory.create(published=True), "theirs")
        if request.param == "stated"
        else running_session()
    )


def over(session: StreamingSession, ago: timedelta) -> None:
    with pytest.MonkeyPatch.context() as patch:
        now = timezone.now() - ago
        patch.setattr(timezone, "now", lambda: now)
        transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
        transitions.end(session)


@pytest.mark.parametrize(
    "after_now", [timedelta(days=365), timedelta(minutes=1), timedelta(0), timedelta(minutes=-1), timedelta(days=-1)]
)
def test_an_ended_session_has_no_text_in_flight(session: StreamingSession, after_now: timedelta) -> None:
    over(session, timedelta(minutes=3))
    assert found() == set()
    insert(session, after_now)
    named = found()
    assert named
    assert named <= NAMED


@pytest.mark.parametrize(
    "after_now", [timedelta(days=365), timedelta(hours=1), timedelta(seconds=30), timedelta(minutes=-1)]
)
def test_a_running_session_has_no_text_from_the_future_or_from_before_its_start(
    session: StreamingSession, after_now: timedelta
) -> None:
    insert(session, after_now)
    named = found()
    assert named
    assert named <= NAMED


@pytest.mark.both_databases
def test_a_text_in_flight_is_no_fault_even_if_the_end_overtook_it(session: StreamingSession) -> None:
    insert(session, timedelta(0))
    assert found() == set()
    over(session, timedelta(0))
    assert found() == set()
