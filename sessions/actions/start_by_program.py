"""Start a session for a program: the same steps as for a browser tab, answered at once.

The answer is the access to the room. A program that cannot get a slot may wait in the queue for a bounded time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from heygen_portal.providers.contract.provider import RoomAccess
from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions.start import StartAttempt
from sessions.capacity.queue import TabAddress
from sessions.capacity.slots import StartRequest
from sessions.models import StreamingSession
from sessions.presence import programs

# How long a start may take after its wait in the queue: another session is stopped first, or the provider is slow.
# Nothing renews the lease meanwhile. A session whose start was cut off ends earlier, because its first frame is not
# reported.
START_TIMEOUT = timedelta(minutes=3)


class StartFailed(Exception):
    """The session was stored and has ended, before there was a room. It has an end reason."""

    def __init__(self, session: StreamingSession) -> None:
        super().__init__(str(session.pk))
        self.session = session


@dataclass(frozen=True)
class Started:
    session: StreamingSession
    room: RoomAccess


class _ProgramTab:
    """What a start needs of a browser tab, for a program that waits for one answer."""

    is_open = True

    def __init__(self, key_prefix: str) -> None:
        loop = asyncio.get_running_loop()
        self.key_prefix = key_prefix
        self.session_id: UUID | None = None
        self.room: asyncio.Future[RoomAccess] = loop.create_future()
        self.queued: asyncio.Future[None] = loop.create_future()
        self.position: dict[str, Any] = {}
        self._joining = dict[UUID, asyncio.Future[None]]()

    async def send_json(self, message: dict[str, Any], /) -> None:
        if message["type"] == "queue.place":
            self.position = {name: message[name] for name in ("place", "waiting", "expected_wait_s")}
            if not self.queued.done():
                self.queued.set_result(None)

    async def stop_relaying(self) -> None:
        """Do nothing: no events are relayed."""

    async def follow(self, session_id: UUID, /) -> None:
        self.session_id = session_id
        if session_id not in self._joining:
            joining = in_thread(programs.record_joined)(session_id, self.key_prefix)
            self._joining[session_id] = asyncio.ensure_future(joining)
        await self._joining[session_id]

    async def unfollow(self) -> None:
        self.session_id = None

    async def send_lines(self, session_id: UUID, /) -> None:
        """Do nothing: the program reads the transcript if it needs it."""

    async def give_room(self, room: RoomAccess, /) -> None:
        assert self.session_id is not None  # recorded while the provider made the session
        await self._joining[self.session_id]
        if not self.room.done():
            self.room.set_result(room)

    def take_prepared_room(self) -> str:
        return ""


async def start(
    user_id: int, persona_slug: str, request: StartRequest, key_prefix: str, wait_seconds: float
) -> Started:
    """Start a session and return the access to its room.

    Without a free slot, wait in the queue for up to `wait_seconds`. Raises SessionError, and StartFailed if the
    provider failed.
    """
    lease_id = await in_thread(programs.open_lease)(timedelta(seconds=wait_seconds) + START_TIMEOUT)
    tab = _ProgramTab(key_prefix)
    address = TabAddress(lease_id, programs.channel_of(lease_id))
    attempt = StartAttempt(user_id, persona_slug, request, address, tab)
    running: asyncio.Future[bool] = asyncio.ensure_future(attempt.run())
    background.keep(running)  # the provider's start goes on beside the program's join
    running.add_done_callback(_take_exception)
    is_started = False
    try:
        await asyncio.wait((running, tab.room, tab.queued), return_when=asyncio.FIRST_COMPLETED)
        if not (running.done() or tab.room.done()):
            await asyncio.wait((running, tab.room), timeout=wait_seconds, return_when=asyncio.FIRST_COMPLETED)
        if not (running.done() or tab.room.done()):
            await attempt.give_up()
            await asyncio.wait((running, tab.room), return_when=asyncio.FIRST_COMPLETED)
        if not tab.room.done() and not await running:
            raise errors.ProviderLimit(tab.position)
        session_id = tab.session_id
        assert session_id is not None  # it has a room, or the attempt succeeded
        if not tab.room.done():
            raise StartFailed(await in_thread(StreamingSession.objects.select_related("persona").get)(pk=session_id))
        session = await in_thread(_hold)(session_id)
        is_started = True
        return Started(session, tab.room.result())
    finally:
        if not is_started:
            if not running.done():  # the server cancelled this request
                await attempt.give_up()
            await in_thread(programs.close_lease)(lease_id)


def _take_exception(running: asyncio.Future[bool]) -> None:
    """Mark a failure as seen: it is raised to the program, if that still waits."""
    if not running.cancelled():
        running.exception()


@transaction.atomic
def _hold(session_id: UUID) -> StreamingSession:
    """Give the program a whole lease, and return the session with its persona."""
    programs.renew(session_id)
    return StreamingSession.objects.select_related("persona").get(pk=session_id)
