"""Hand-written statements store the same as the models, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from sessions import errors
from sessions.actions import deadlines
from sessions.lifecycle import events
from sessions.models import SessionTask, Status, StreamingSession, Utterance
from sessions.speech import search as speech_search
from sessions.speech import speech_sql
from tests.support.factories import StreamingSessionFactory


@pytest.fixture(params=["sqlite", "postgres"], autouse=True)
def database(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("postgres" if request.param == "postgres" else "transactional_db")


def accept(session: StreamingSession, text: str, ref: str = "") -> SessionTask:
    task, is_new = deadlines.accept_task(
        session.pk, text=text, kind=SessionTask.Kind.TALK, user_id=session.user_id, ref=ref
    )
    assert is_new
    return task


def test_a_text_can_be_read_and_searched_and_counts_as_activity() -> None:
    session = StreamingSessionFactory.create(created_at=timezone.now() - timedelta(minutes=1))
    texts = ["Hola, ¿cómo estás?", "Adiós"]  # the first creates the session's key, the second uses it
    tasks = [accept(session, text) for text in texts]
    assert [task.session.account for task in tasks] == [session.account] * 2
    assert [SessionTask.objects.get(pk=task.pk).text for task in tasks] == texts
    lines = Utterance.objects.filter(session=session)
    assert [line.text for line in lines] == texts
    assert [line.text for line in speech_search.matching(lines, "como")] == texts[:1]
    session.refresh_from_db()
    assert session.active_at > session.created_at
    assert session.deadline_at != session.ends_at


def test_a_known_ref_returns_the_first_task_and_an_ended_session_is_refused() -> None:
    session = StreamingSessionFactory.create()
    first = accept(session, "Hola", ref="a")
    kind, user_id = SessionTask.Kind.TALK, session.user_id
    again, is_new = deadlines.accept_task(session.pk, text="Hola", kind=kind, user_id=user_id, ref="a")
    assert (again, is_new) == (first, False)
    assert session.tasks.count() == session.utterances.count() == 1
    over = StreamingSessionFactory.create(status=Status.ENDED)
    with pytest.raises(errors.NotLive):
        deadlines.accept_task(over.pk, text="Hola", kind=kind, user_id=user_id)


def test_the_outcome_of_a_text_is_stored_and_a_missing_task_is_an_error() -> None:
    session = StreamingSessionFactory.create()
    task, other = accept(session, "Hola"), accept(session, "Adiós")
    task.status, task.provider_task_id = SessionTask.Status.SENT, "task-1"
    task.failure, task.latency = "", timedelta(milliseconds=1234)
    speech_sql.outcome_of(task).store()
    stored = SessionTask.objects.get(pk=task.pk)
    assert (stored.status, stored.provider_task_id, stored.failure, stored.latency) == (
        SessionTask.Status.SENT,
        "task-1",
        "",
        timedelta(milliseconds=1234),
    )
    assert stored.text == "Hola"
    assert SessionTask.objects.get(pk=other.pk).status == other.status != SessionTask.Status.SENT
    task.pk = 10**9
    with pytest.raises(DatabaseError):
        speech_sql.outcome_of(task).store()


@pytest.fixture
def read_with_change(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[bool]]:
    """Return a function that follows each read of a session by a change.

    It returns the list of reads.
    """
    if connection.vendor != "postgresql":
        pytest.skip("SQLite allows one writer at a time, so the session is locked when it is read")
    read = speech_sql.live_session

    def install(session: StreamingSession, **change: Any) -> list[bool]:
        reads: list[bool] = []

        def read_and_change(session_id: UUID, *, is_locked: bool, for_text: bool = False) -> StreamingSession | None:
            reads.append(is_locked)
            found = read(session_id, is_locked=is_locked, for_text=for_text)
            StreamingSession.objects.filter(pk=session.pk).update(**change)
            return found

        monkeypatch.setattr(speech_sql, "live_session", read_and_change)
        return reads

    return install


@pytest.mark.parametrize("column", ["abandoned_at", "ends_at"])
def test_a_session_whose_limits_changed_after_it_was_read_is_read_again_with_a_lock(
    read_with_change: Callable[..., list[bool]], column: str
) -> None:
    session = StreamingSessionFactory.create()
    accept(session, "Hola")  # creates the session's key
    reads = read_with_change(session, **{column: timezone.now()})
    accept(session, "Adiós")
    assert reads == [False, True]
    assert session.tasks.count() == session.utterances.count() == 2


def test_nothing_is_stored_if_the_session_stops_after_it_was_read(read_with_change: Callable[..., list[bool]]) -> None:
    session = StreamingSessionFactory.create()
    accept(session, "Hola")
    read_with_change(session, status=Status.STOPPING, end_reason="idle")
    with pytest.raises(errors.NotLive):
        accept(session, "Adiós")
    assert session.tasks.count() == session.utterances.count() == 1


@pytest.mark.parametrize("is_newest_known", [True, False])
def test_an_outcome_and_its_event_are_stored_both_or_neither(is_newest_known: bool) -> None:
    session = StreamingSessionFactory.create()
    events.record(session.pk, events.Entry("first"))
    events.record(session.pk, events.Entry("second"))
    task = accept(session, "Hola")
    task.status, task.latency = SessionTask.Status.SENT, timedelta(milliseconds=1234)
    if not is_newest_known:  # another process has appended
        events._last_appended.clear()
    events.record_with(session.pk, events.task_entry(task), speech_sql.outcome_of(task))
    assert list(session.events.values_list("kind", flat=True).order_by("number")) == ["first", "second", "task"]
    assert SessionTask.objects.get().status == SessionTask.Status.SENT
    entry, task.pk = events.task_entry(task), 10**9
    # Only the test's own transaction needs a savepoint.
    with pytest.raises(DatabaseError), transaction.atomic() if connection.in_atomic_block else nullcontext():
        events.record_with(session.pk, entry, speech_sql.outcome_of(task))
    assert session.events.count() == 3
