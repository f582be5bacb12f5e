"""A start that its person gives up, in the moments in which it hurts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from avatars.models import Persona
from heygen_portal.providers.contract.provider import LimitReached, RoomAccess
from sessions.actions import start
from sessions.actions.start import StartAttempt
from sessions.capacity import slots
from sessions.capacity.leases import this_process
from sessions.capacity.queue import QueuePosition, TabAddress
from sessions.capacity.slots import StartRequest
from sessions.models import QueueEntry, ServerProcess, StreamingSession
from sessions.presence import tabs
from tests.sessions.tabs import a_person, a_persona
from tests.support.factories import StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


class FakePage:
    """A browser tab that starts a session."""

    def __init__(self) -> None:
        self.is_open = True
        self.session_id: UUID | None = None
        self.is_queued = asyncio.Event()

    async def send_json(self, message: dict[str, Any], /) -> None:
        if message["type"] == "queue.place":
            self.is_queued.set()

    async def stop_relaying(self) -> None:
        pass

    async def follow(self, session_id: UUID, /) -> None:
        self.session_id = session_id

    async def unfollow(self) -> None:
        self.session_id = None

    async def send_lines(self, session_id: UUID, /) -> None:
        pass

    async def give_room(self, room: RoomAccess, /) -> None:
        pass

    def take_prepared_room(self) -> str:
        return ""


@pytest.fixture
def page() -> FakePage:
    return FakePage()


async def make_attempt(page: FakePage, **persona: Any) -> StartAttempt:
    user, persona_row = await a_person(), await a_persona(**persona)
    await this_process.hold_lease()
    address = TabAddress(this_process.id, "the-tab")
    return StartAttempt(user.pk, persona_row.slug, StartRequest(), address, page)


async def test_a_start_that_is_given_up_while_its_session_is_stored_is_called_off(
    provider: Mock, page: FakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session holds a slot, but the provider must not be called."""
    attempt, loop, store = await make_attempt(page), asyncio.get_running_loop(), slots.open_in_tab

    def store_and_give_up(*args: Any) -> StreamingSession:
        session = store(*args)
        asyncio.run_coroutine_threadsafe(attempt.give_up(), loop).result(WAIT_TIMEOUT_S)
        return session

    monkeypatch.setattr(slots, "open_in_tab", store_and_give_up)
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        assert not await attempt.run()
    session = await StreamingSession.objects.aget()
    assert (session.status, session.end_reason) == ("ended", "user_stopped")
    assert not provider.new_session.called
    assert not await sync_to_async(session.tabs.exists)()


async def test_a_queued_tab_waits_until_its_process_has_renewed_a_lost_lease(
    provider: Mock, page: FakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabs, "LEASE_RENEWAL_INTERVAL", timedelta(hours=1))  # it is renewed below
    attempt = await make_attempt(page, avatar__account__concurrency_limit=1)
    has_seen, check, loop = asyncio.Event(), start._check_position, asyncio.get_running_loop()

    def look(address: TabAddress) -> tuple[bool, QueuePosition | None]:
        has_lease_expired, position = check(address)
        if has_lease_expired and position is None:
            loop.call_soon_threadsafe(has_seen.set)
        return has_lease_expired, position

    monkeypatch.setattr(start, "_check_position", look)
    persona = await Persona.objects.aget()
    await sync_to_async(StreamingSessionFactory.create)(persona=persona)
    work = asyncio.create_task(attempt.run())
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        await page.is_queued.wait()
        await ServerProcess.objects.aupdate(lease_ends_at=timezone.now())
        await sync_to_async(tabs.expire_leases)(timezone.now())
        assert not await QueueEntry.objects.aexists()
        attempt.wake()
        await has_seen.wait()
        await this_process.renew_lease()
        assert await QueueEntry.objects.aexists()
        assert not work.done()
        await attempt.give_up()
        assert not await work


async def test_a_tab_that_was_closed_does_not_wait_for_a_slot_that_the_provider_refused(
    provider: Mock, page: FakePage
) -> None:
    attempt = await make_attempt(page)

    async def refuse(*args: Any) -> None:
        page.is_open = False
        raise LimitReached("full", code="10007", status=400)

    provider.new_session.side_effect = refuse
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        assert not await attempt.run()
    assert not await QueueEntry.objects.aexists()
    session = await StreamingSession.objects.aget()
    assert session.end_reason == "provider_refused"
