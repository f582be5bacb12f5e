"""One tab's way from Start to a session: straight in, after another session's release, or through the line.

It can be given up at every moment. Nothing here is remembered by the process alone but who is to be told: what holds a
place is a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from django.utils import timezone

from avatars.models import Persona
from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import stop
from sessions.capacity import claims, leases, queue, slots
from sessions.capacity.claims import Claim
from sessions.capacity.queue import QueuePosition, TabAddress
from sessions.capacity.slots import NoFreeSlot, StartRequest
from sessions.lifecycle import end_evidence
from sessions.models import EndReason, QueuePlace, Status, StreamingSession
from sessions.presence import tabs

QUEUE_POLL = timedelta(seconds=3)
"""How often a tab that waits in line looks by itself. It is told of every change; Redis may be away."""
RELEASE_POLL = timedelta(seconds=0.25)
"""How often it is asked whether the other session is over: few can be waiting for that."""
RELEASE_TIMEOUT = timedelta(seconds=45)
"""How long the provider is given to confirm it."""


class StartAttempt:
    """One person's wish for a session, in one tab. `tell` sends to the page."""

    def __init__(
        self,
        user_id: int,
        persona_slug: str,
        tab: TabAddress,
        request: StartRequest,
        tell: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self.user_id = user_id
        self.persona_slug = persona_slug
        self.tab = tab
        self.request = request
        self.tell = tell
        self.since = timezone.now()
        self.is_given_up = False
        self._is_queued = False
        self._woken = asyncio.Event()

    async def run(self) -> StreamingSession | None:
        """Return a session that holds a place, or None when the wish was given up before. Raises SessionError."""
        return await self._leaving_the_queue(self._first_slot())

    async def requeue(self, session: StreamingSession, evidence: end_evidence.Evidence) -> StreamingSession | None:
        """The provider has no place for this session, and nobody there is in the way: it is over, and its person waits.

        Return the next one; None when somebody has stopped this one meanwhile, or the wish was given up. Raises
        SessionError.
        """
        return await self._leaving_the_queue(self._stand_back(session, evidence))

    async def _stand_back(self, session: StreamingSession, evidence: end_evidence.Evidence) -> StreamingSession | None:
        joining = in_thread(slots.requeue)(session, self.tab, self.since, evidence)
        return await self._wait_in_queue() if await self._enter_queue(joining) else None

    async def _leaving_the_queue(self, way: Awaitable[StreamingSession | None]) -> StreamingSession | None:
        try:
            return await way
        finally:
            if self._is_queued:
                leases.waiting.pop(self.tab.channel, None)
                await in_thread(queue.leave)(self.tab.channel)

    async def _first_slot(self) -> StreamingSession | None:
        if not self.request.is_plain and not await self._is_released():
            return None
        try:
            return await self._open()
        except NoFreeSlot as full:
            persona, has_queue = full.persona, full.has_queue
        if not has_queue:  # else somebody has looked before
            await stop.clean(persona.avatar.account)
            with suppress(NoFreeSlot):
                return await self._open()
        await self._enter_queue(in_thread(slots.join_queue)(self.user_id, persona, self.tab, self.request))
        return await self._wait_in_queue()

    async def give_up(self) -> None:
        """Wait no more. Safe to call at any time; a session that was opened all the same is its caller's to stop."""
        self.is_given_up = True
        self.wake()
        if self._is_queued:
            await in_thread(queue.leave)(self.tab.channel)

    def wake(self) -> None:
        """Something has moved: look."""
        self._woken.set()

    async def _open(self) -> StreamingSession | None:
        if self.is_given_up:
            return None
        return await in_thread(slots.open_in_tab)(self.user_id, self.persona_slug, self.tab, self.request)

    async def _enter_queue(self, joining: Awaitable[QueuePlace | None]) -> bool:
        self._is_queued = True  # said first: whoever gives up meanwhile leaves a place that is just being taken
        if entry := await joining:
            self.since = entry.created_at
            leases.waiting[self.tab.channel] = entry
        return entry is not None

    async def _wait_in_queue(self) -> StreamingSession | None:
        told: QueuePosition | None = None
        while not self.is_given_up:
            self._woken.clear()
            is_counted_out, position = await in_thread(_check_position)(self.tab)
            if position is None and not is_counted_out:
                break
            if position is None:
                pass  # the next renewal of this process's lease brings the place back
            elif position.is_offered:
                try:
                    return await self._open()
                except NoFreeSlot:  # somebody has lowered the limit
                    await in_thread(queue.return_offer)(self.tab.channel)
            elif position != told:
                told = position
                await self._tell_position(position)
            await self._pause(QUEUE_POLL)
        if self.is_given_up:
            return None
        raise errors.QueueLost

    async def _tell_position(self, position: QueuePosition) -> None:
        wait = await in_thread(queue.expected_wait)(position, timezone.now())
        seconds = None if wait is None else round(wait.total_seconds())
        place = {"place": position.position, "waiting": position.waiting, "expected_wait_s": seconds}
        await self.tell({"type": "queue.place", **place})

    async def _is_released(self) -> bool:
        """End what is in the way and wait until the provider confirms; False when that was given up.

        The place stays theirs meanwhile. Raises NotReleased, NotFound.
        """
        give_up_at = timezone.now() + RELEASE_TIMEOUT
        persona, in_the_way = await in_thread(self._prepare)()
        if not in_the_way:
            return True
        claim = Claim(self.user_id, self.request.claimed_reason)
        if not self.request.is_taking_over:
            claim = await claims.examine(in_the_way[0], claim)
        if any(session.account_id == persona.avatar.account_id for session in in_the_way):
            steps_back = not await in_thread(self._keeps_slot)(in_the_way, claim)
            offer_expires_at = give_up_at + queue.OFFER_TIMEOUT
            keep = partial(queue.hold_slot, steps_back=steps_back)
            await self._enter_queue(in_thread(keep)(self.user_id, persona, self.tab, offer_expires_at))
        await self.tell(self._waiting())
        for session in in_the_way:
            if self.request.is_taking_over:
                ending = stop.stop(session, EndReason.TAKEN_OVER, end_evidence.taken_over(self.user_id))
            else:
                ending = stop.stop_as_claimed(session, claim)
            background.keep(ending)  # not awaited: it can be given up meanwhile
        while not self.is_given_up:
            self._woken.clear()
            if await in_thread(slots.are_over)(in_the_way):
                return True
            if timezone.now() >= give_up_at:
                raise errors.NotReleased
            await self._pause(RELEASE_POLL)
        return False

    def _prepare(self) -> tuple[Persona, list[StreamingSession]]:
        """Return the persona and what must be over first. Raises TimeIsUp, QuotaUsed: then that goes on as it is."""
        persona = slots.find_persona(self.persona_slug, self.user_id, self.request.purpose)
        in_the_way = slots.sessions_in_the_way(self.user_id, persona, self.request)
        if self.request.is_taking_over:
            self.request = slots.as_renewal(self.user_id, persona, self.request, in_the_way)
        slots.terms_of(self.user_id, persona, self.request)
        return persona, in_the_way

    def _keeps_slot(self, in_the_way: list[StreamingSession], claim: Claim) -> bool:
        """Whether nobody who waits is served first: the same conversation goes on, and the portal saw why it must."""
        if self.request.is_taking_over and not {session.pk for session in in_the_way} <= self.request.took_over:
            return False
        return all(claims.keeps_slot(session, claim, timezone.now()) for session in in_the_way)

    def _waiting(self) -> dict[str, Any]:
        continues = str(self.request.continues) if self.request.continues else None
        status = {"session_id": None, "status": Status.REQUESTED.value, "reason": "", "words": ""}
        moments = dict.fromkeys(("created_at", "ends_at", "conversation_ends_at", "ended_at"))
        return {
            "type": "session.status", **status, **moments, "now": timezone.now().isoformat(),
            "continues": continues, "waits_for": "release",
        }  # fmt: skip

    async def _pause(self, longest: timedelta) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), longest.total_seconds())


def _check_position(tab: TabAddress) -> tuple[bool, QueuePosition | None]:
    """Return whether this tab's process was counted out, as one that hung, and where the tab stands.

    Whatever turns there are to give are given, for the worker may be away.
    """
    position = queue.position_of(tab.channel)
    if position is None:
        is_counted_out = not tabs.is_held(tab.process_id)
        return is_counted_out, queue.position_of(tab.channel)  # again: it may have been counted in between the two
    if not position.is_offered:
        queue.offer_slots(position.account_id)
        position = queue.position_of(tab.channel)
    return False, position
