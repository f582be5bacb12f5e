"""Hand-written statements store the same as the models, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone

from sessions import errors
from sessions.actions import deadlines
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
    speech_sql.update_outcome(task)
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
        speech_sql.update_outcome(task)
