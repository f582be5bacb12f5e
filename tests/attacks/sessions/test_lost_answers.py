"""A session that the provider has named is stored, or closed there."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection

from heygen_portal.providers.contract.provider import ProviderUnreachable, RoomAccess, SessionGone
from heygen_portal.runtime import background
from sessions.actions import provision
from sessions.actions import stop as stopping
from sessions.lifecycle import transitions
from sessions.models import EndReason, Status, StreamingSession
from sessions.presence import own_rooms
from tests.support.factories import WHY, PersonaFactory, UserFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)

ID = "their-session"
FAULTS = {
    "the row takes no ID": "UPDATE OF provider_session_id ON avatar_sessions_streamingsession",
    "the row cannot be changed": "UPDATE ON avatar_sessions_streamingsession",
    "the record takes no entry": "INSERT ON avatar_sessions_sessionevent",
}


@pytest.fixture(autouse=True)
def no_retry_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provision, "FIRST_RETRY_DELAY_S", 0.001)
    monkeypatch.setattr(provision, "MAX_RETRY_DELAY_S", 0.01)


@pytest.fixture(params=list(FAULTS.values()), ids=list(FAULTS))
def fault(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@sync_to_async
def break_database(fault: str) -> None:
    """Make the database fail until `heals` is called."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TRIGGER broken BEFORE {fault} BEGIN SELECT RAISE(ABORT, 'disk full'); END")


@sync_to_async
def repair_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER broken")


@sync_to_async
def opened(*, is_exclusive: bool = False) -> StreamingSession:
    persona = PersonaFactory.create(published=True, avatar__account__is_exclusive=is_exclusive)
    return transitions.request(persona, UserFactory.create().pk)


async def ignore(room: RoomAccess) -> None:
    """Act as a page that needs no room."""


async def state(session: StreamingSession) -> tuple[str, str, str | None]:
    row = await StreamingSession.objects.aget(pk=session.pk)
    return row.status, row.end_reason, row.provider_session_id


class Closing:
    """The provider's side of a stop: it fails some times, then confirms."""

    def __init__(self, provider: Mock, *, failures: int = 0) -> None:
        self.failures, self.done = failures, asyncio.Event()
        provider.stop_session.side_effect = self.stop

    async def stop(self, provider_session_id: str, why: object = None) -> None:
        assert provider_session_id == ID
        if self.failures:
            self.failures -= 1
            raise ProviderUnreachable("ConnectError")
        if self.done.is_set():
            raise SessionGone("closed", code="10005", status=400)
        self.done.set()


@pytest.mark.parametrize("is_exclusive", [True, False], ids=["own account", "shared account"])
async def test_an_answer_that_cannot_be_stored_is_closed_and_stored_later(
    provider: Mock, fault: str, *, is_exclusive: bool
) -> None:
    session, closing = await opened(is_exclusive=is_exclusive), Closing(provider)
    await break_database(fault)
    with pytest.raises(DatabaseError):
        await provision.create_and_start(session, ignore)
    await asyncio.wait_for(closing.done.wait(), WAIT_TIMEOUT_S)
    await repair_database()
    await background.finish()
    assert await state(session) == (Status.ENDED, EndReason.ORPHAN_FOUND, ID)
    row = await StreamingSession.objects.aget(pk=session.pk)
    assert row.end_evidence["code"] == "opening_failed"


async def test_a_database_that_fails_once_loses_nothing(provider: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    session, closing, connect = await opened(), Closing(provider), transitions.connect

    def fails_once(*args: Any) -> bool:
        monkeypatch.setattr(transitions, "connect", connect)
        raise DatabaseError("server closed the connection")

    monkeypatch.setattr(transitions, "connect", fails_once)
    with pytest.raises(DatabaseError):
        await provision.create_and_start(session, ignore)
    await background.finish()
    assert closing.done.is_set()
    assert await state(session) == (Status.ENDED, EndReason.ORPHAN_FOUND, ID)


async def test_a_failing_provider_is_retried_until_it_confirms(provider: Mock, fault: str) -> None:
    session, closing = await opened(), Closing(provider, failures=5)
    await break_database(fault)
    with pytest.raises(DatabaseError):
        await provision.create_and_start(session, ignore)
    await asyncio.wait_for(closing.done.wait(), WAIT_TIMEOUT_S)
    await repair_database()
    await background.finish()
    assert (await state(session))[2] == ID


async def test_a_late_answer_that_cannot_be_stored_is_closed(provider: Mock, fault: str) -> None:
    """The session was stopped while the provider was creating it."""
    session, closing, answer = await opened(), Closing(provider), provider.new_session.return_value

    async def think(request: object) -> object:
        await stopping.stop_by_id(session.pk, EndReason.USER_STOPPED, WHY)
        await break_database(fault)
        return answer

    provider.new_session.side_effect = think
    with pytest.raises(DatabaseError):
        await provision.create_and_start(session, ignore)
    await asyncio.wait_for(closing.done.wait(), WAIT_TIMEOUT_S)
    await repair_database()
    await background.finish()
    assert await state(session) == (Status.ENDED, EndReason.USER_STOPPED, ID)


async def test_an_answer_is_stored_although_the_session_has_ended_without_it(provider: Mock) -> None:
    """What the provider created for a lost opener is still closed."""
    session, answer = await opened(), provider.new_session.return_value

    @sync_to_async
    def end() -> None:
        row = StreamingSession.objects.select_related("account").get(pk=session.pk)
        transitions.begin_stop(row, EndReason.ORPHAN_FOUND, WHY)
        transitions.end(row)

    async def think(request: object) -> object:
        await end()
        return answer

    provider.new_session.side_effect = think
    await provision.create_and_start(session, ignore)
    assert await state(session) == (Status.ENDED, EndReason.ORPHAN_FOUND, ID)
    assert provider.stop_session.called


async def test_a_start_that_cannot_be_recorded_keeps_the_session_on_its_row(provider: Mock) -> None:
    session, closing, answer = await opened(), Closing(provider), provider.new_session.return_value

    async def start(started: object) -> object:
        await break_database("INSERT ON avatar_sessions_sessionevent WHEN NEW.kind = 'provider_started'")
        return answer

    has_room = asyncio.Event()
    provider.start_session.side_effect = partial(_after, has_room, start)

    async def give_room(room: RoomAccess) -> None:
        has_room.set()

    with pytest.raises(DatabaseError):
        await provision.create_and_start(session, give_room)
    await background.finish()
    await repair_database()
    assert await state(session) == (Status.CONNECTING, "", ID)
    assert not closing.done.is_set()
    assert (await StreamingSession.objects.aget(pk=session.pk)).deadline_at is not None


async def _after(event: asyncio.Event, then: Any, *args: Any) -> Any:
    await event.wait()
    return await then(*args)


@pytest.mark.parametrize("error", [RuntimeError, OSError, asyncio.CancelledError])
async def test_a_failure_on_the_way_to_the_page_keeps_the_session_on_its_row(
    provider: Mock, error: type[BaseException]
) -> None:
    session = await opened()

    async def give_room(room: RoomAccess) -> None:
        raise error

    with pytest.raises(error):
        await provision.create_and_start(session, give_room)
    await background.finish()
    assert await state(session) == (Status.CONNECTING, "", ID)


async def test_a_cancelled_start_leaves_no_session_unknown(provider: Mock) -> None:
    session, closing = await opened(), Closing(provider)
    await break_database(FAULTS["the row takes no ID"])
    opening = asyncio.create_task(provision.create_and_start(session, ignore))

    async def start(answer: object) -> object:
        opening.cancel()  # while the answer is being stored
        return answer

    provider.start_session.side_effect = start
    await asyncio.wait([opening])
    await asyncio.wait_for(closing.done.wait(), WAIT_TIMEOUT_S)
    await repair_database()
    await background.finish()
    assert (await state(session))[2] == ID


async def test_our_own_room_is_deleted_with_the_session(provider: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    session, closing, deleted = await opened(), Closing(provider), []
    session.room = "portal-room"
    await session.asave(update_fields=["room"])

    async def delete(room: str) -> None:
        deleted.append(room)

    monkeypatch.setattr(own_rooms, "delete", delete)
    await break_database(FAULTS["the row takes no ID"])
    with pytest.raises(DatabaseError):
        await provision.create_and_start(session, ignore)
    await asyncio.wait_for(closing.done.wait(), WAIT_TIMEOUT_S)
    await repair_database()
    await background.finish()
    assert "portal-room" in deleted


async def test_two_sessions_with_one_provider_id_both_end(provider: Mock, caplog: pytest.LogCaptureFixture) -> None:
    """A row never accepts the ID, because another session has it."""
    first, closing = await opened(), Closing(provider)
    await provision.create_and_start(first, ignore)
    second = await _same_account(first)
    with pytest.raises(DatabaseError):
        await provision.create_and_start(second, ignore)
    await background.finish()
    assert closing.done.is_set()
    assert (await state(second))[:2] == (Status.STOPPING, EndReason.ORPHAN_FOUND)
    assert f"the provider's ID {ID} is not on its row" in caplog.text


@sync_to_async
def _same_account(first: StreamingSession) -> StreamingSession:
    persona = first.persona
    assert persona is not None
    return transitions.request(persona, UserFactory.create().pk)
