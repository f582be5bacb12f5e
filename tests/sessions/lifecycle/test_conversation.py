"""Sessions that continue each other form one conversation with one limit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User

from avatars.models import Persona
from sessions.actions import queries
from sessions.capacity import slots
from sessions.capacity.slots import StartRequest
from sessions.integrity import verification
from sessions.lifecycle import transitions
from sessions.models import Conversation, EndReason, LimitBy, Quota, SessionEvent, StreamingSession
from tests.support.factories import WHY, PersonaFactory, UserFactory, a_conversation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("announced")]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def person() -> User:
    return UserFactory.create()


@pytest.fixture
def persona() -> Persona:
    return PersonaFactory.create(published=True, duration_limit=20 * MINUTE)


def started(person: User, persona: Persona, continues: StreamingSession | None = None) -> StreamingSession:
    return slots.open_session(person.pk, persona.slug, StartRequest(continues=continues.pk if continues else None))


def ended(session: StreamingSession) -> StreamingSession:
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)
    return session


def rows_stated(session: StreamingSession) -> Any:
    return SessionEvent.objects.get(session=session, kind="requested").data["rows"]


def lasts(session: StreamingSession) -> timedelta:
    return session.ends_at - session.created_at


def test_a_first_session_creates_a_conversation_that_its_record_states(person: User, persona: Persona) -> None:
    Quota.objects.create(user=person, duration_limit=5 * MINUTE)
    session = started(person, persona)
    conversation = Conversation.objects.get()
    assert (conversation.pk, conversation.user, conversation.persona) == (session.pk, person, persona)
    assert (conversation.started_at, conversation.ended_at) == (session.created_at, None)
    assert (conversation.time_limit, conversation.limit_by) == (5 * MINUTE, LimitBy.USER)
    assert rows_stated(session)["session"][""]["conversation"] == session.pk.hex
    stated = rows_stated(session)["conversation"][""]
    assert (stated["user"], stated["time_limit"]) == (person.pk, 300_000_000)


def test_a_session_that_continues_another_joins_its_conversation(person: User, persona: Persona) -> None:
    first = ended(started(person, persona))
    second = ended(started(person, persona, first))
    again = started(person, persona, first)
    assert {first.conversation_id, second.conversation_id, again.conversation_id} == {first.pk}
    assert rows_stated(again)["session"][""]["conversation"] == first.pk.hex
    assert "conversation" not in rows_stated(again)
    assert started(UserFactory.create(), persona).conversation_id != first.pk


@pytest.mark.parametrize(("later", "left"), [(60, 20), (8, 8)])
def test_a_conversation_keeps_its_limit_unless_the_limit_is_lowered_later(
    person: User, persona: Persona, later: int, left: int
) -> None:
    first = ended(started(person, persona))
    Persona.objects.filter(pk=persona.pk).update(duration_limit=later * MINUTE)
    assert lasts(started(person, persona, first)) == left * MINUTE
    assert first.conversation.time_limit == 20 * MINUTE


def test_without_a_recorded_limit_the_current_limits_apply(person: User, persona: Persona) -> None:
    first = ended(started(person, persona))
    Conversation.objects.update(time_limit=None, limit_by="")
    Persona.objects.filter(pk=persona.pk).update(duration_limit=60 * MINUTE)
    assert lasts(started(person, persona, first)) == 60 * MINUTE


def test_a_conversation_ends_with_its_last_session_and_continues_with_a_new_one(person: User, persona: Persona) -> None:
    first = started(person, persona)
    ended(first)
    assert Conversation.objects.get().ended_at == first.ended_at
    second = started(person, persona, first)
    assert Conversation.objects.get().ended_at is None
    assert list(verification.faults()) == []
    ended(second)
    assert Conversation.objects.get().ended_at == second.ended_at
    assert list(verification.faults()) == []


def test_the_lines_of_the_whole_conversation_are_sent(person: User, persona: Persona) -> None:
    first = ended(started(person, persona))
    for session, text in ((first, "uno"), (ended(started(person, persona, first)), "dos")):
        session.utterances.create(who="user", by="text", source="portal", text=text)
    third = started(person, persona, first)  # the page continues the first session again
    assert [line.text for line in queries.lines_for_page(queries.newest_line_ids(third.pk))] == ["uno", "dos"]
    assert [line.text for line in queries.lines_for_page(queries.newest_line_ids(first.pk))] == ["uno"]
    _prompt, memory = queries.conversation_memory(third)
    assert memory.index("uno") < memory.index("dos")


def added(pk: UUID, session: StreamingSession) -> None:
    conversation = a_conversation(
        StreamingSession(id=pk, user=session.user, persona=session.persona, created_at=session.created_at)
    )
    assert conversation.pk == pk


def test_verification_finds_an_added_conversation(person: User, persona: Persona) -> None:
    first = ended(started(person, persona))
    second = ended(started(person, persona, first))
    added(second.pk, first)
    assert [(fault.kind, fault.session, fault.table) for fault in verification.faults()] == [
        ("row_added", str(second.pk), "conversation")
    ]
    Conversation.objects.filter(pk=second.pk).delete()
    stranger = uuid4()
    added(stranger, first)
    assert [(fault.kind, UUID(fault.row), fault.table) for fault in verification.faults()] == [
        ("row_added", stranger, "conversation")
    ]


def test_verification_finds_a_session_moved_to_another_conversation(person: User, persona: Persona) -> None:
    first, other = ended(started(person, persona)), ended(started(UserFactory.create(), persona))
    StreamingSession.objects.filter(pk=other.pk).update(conversation=first.pk)
    assert ("session", str(other.pk), "conversation") in {
        (fault.table, fault.session, fault.column) for fault in verification.faults()
    }
