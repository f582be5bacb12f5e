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
from sessions.capacity.queue import Standing, TabAddress
from sessions.capacity.slots import NoPlace, Wish
from sessions.lifecycle import end_evidence
from sessions.models import EndReason, QueuePlace, Status, StreamingSession
from sessions.presence import tabs

LOOK = timedelta(seconds=3)
"""How often a tab that waits in line looks by itself. It is told of every change; Redis may be away."""
RELEASE_LOOK = timedelta(seconds=0.25)
"""How often it is asked whether the other session is over: few can be waiting for that."""
RELEASE_PATIENCE = timedelta(seconds=45)
"""How long the provider is given to confirm it."""


class Admission:
    """One person's wish for a session, in one tab. `tell` sends to the page."""

    def __init__(
        self,
        user_id: int,
        persona_slug: str,
        tab: TabAddress,
        wish: Wish,
        tell: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self.user_id = user_id
        self.persona_slug = persona_slug
        self.tab = tab
        self.wish = wish
        self.tell = tell
        self.since = timezone.now()
        self.is_given_up = False
        self._has_place = False
        self._woken = asyncio.Event()

    async def run(self) -> StreamingSession | None:
        """Return a session that holds a place, or None when the wish was given up before. Raises SessionError."""
        return await self._leaving_the_line(self._admit())

    async def stand_back(self, session: StreamingSession, evidence: end_evidence.Evidence) -> StreamingSession | None:
        """The provider has no place for this session, and nobody there is in the way: it is over, and its person waits.

        Return the next one; None when somebody has stopped this one meanwhile, or the wish was given up. Raises
        SessionError.
        """
        return await self._leaving_the_line(self._stand_back(session, evidence))

    async def _stand_back(self, session: StreamingSession, evidence: end_evidence.Evidence) -> StreamingSession | None:
        standing = in_thread(slots.stand_back)(session, self.tab, self.since, evidence)
        return await self._wait_in_line() if await self._stand_in_line(standing) else None

    async def _leaving_the_line(self, way: Awaitable[StreamingSession | None]) -> StreamingSession | None:
        try:
            return await way
        finally:
            if self._has_place:
                leases.waiting.pop(self.tab.channel, None)
                await in_thread(queue.leave)(self.tab.channel)

    async def _admit(self) -> StreamingSession | None:
        if not self.wish.is_plain and not await self._is_released():
            return None
        try:
            return await self._open()
        except NoPlace as full:
            persona, has_line = full.persona, full.has_line
        if not has_line:  # else somebody has looked before
            await stop.clean(persona.avatar.account)
            with suppress(NoPlace):
                return await self._open()
        await self._stand_in_line(in_thread(slots.join_queue)(self.user_id, persona, self.tab, self.wish))
        return await self._wait_in_line()

    async def give_up(self) -> None:
        """Wait no more. Safe to call at any time; a session that was opened all the same is its caller's to stop."""
        self.is_given_up = True
        self.wake()
        if self._has_place:
            await in_thread(queue.leave)(self.tab.channel)

    def wake(self) -> None:
        """Something has moved: look."""
        self._woken.set()

    async def _open(self) -> StreamingSession | None:
        if self.is_given_up:
            return None
        return await in_thread(slots.open_in_tab)(self.user_id, self.persona_slug, self.tab, self.wish)

    async def _stand_in_line(self, standing: Awaitable[QueuePlace | None]) -> bool:
        self._has_place = True  # said first: whoever gives up meanwhile leaves a place that is just being taken
        if place := await standing:
            self.since = place.created_at
            leases.waiting[self.tab.channel] = place
        return place is not None

    async def _wait_in_line(self) -> StreamingSession | None:
        told: Standing | None = None
        while not self.is_given_up:
            self._woken.clear()
            is_counted_out, standing = await in_thread(_look)(self.tab)
            if standing is None and not is_counted_out:
                break
            if standing is None:
                pass  # the next renewal of this process's lease brings the place back
            elif standing.is_turn:
                try:
                    return await self._open()
                except NoPlace:  # somebody has lowered the limit
                    await in_thread(queue.give_back)(self.tab.channel)
            elif standing != told:
                told = standing
                await self._tell_place(standing)
            await self._pause(LOOK)
        if self.is_given_up:
            return None
        raise errors.QueueLost

    async def _tell_place(self, standing: Standing) -> None:
        wait = await in_thread(queue.expected_wait)(standing, timezone.now())
        seconds = None if wait is None else round(wait.total_seconds())
        place = {"place": standing.place, "waiting": standing.waiting, "expected_wait_s": seconds}
        await self.tell({"type": "queue.place", **place})

    async def _is_released(self) -> bool:
        """End what is in the way and wait until the provider confirms; False when that was given up.

        The place stays theirs meanwhile. Raises NotReleased, NotFound.
        """
        give_up_at = timezone.now() + RELEASE_PATIENCE
        persona, in_the_way = await in_thread(self._prepare)()
        if not in_the_way:
            return True
        claim = Claim(self.user_id, self.wish.because)
        if not self.wish.is_taking_over:
            claim = await claims.examine(in_the_way[0], claim)
        if any(session.account_id == persona.avatar.account_id for session in in_the_way):
            steps_back = not await in_thread(self._keeps_slot)(in_the_way, claim)
            kept_until = give_up_at + queue.TURN
            keep = partial(queue.keep, steps_back=steps_back)
            await self._stand_in_line(in_thread(keep)(self.user_id, persona, self.tab, kept_until))
        await self.tell(self._waiting())
        for session in in_the_way:
            if self.wish.is_taking_over:
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
            await self._pause(RELEASE_LOOK)
        return False

    def _prepare(self) -> tuple[Persona, list[StreamingSession]]:
        """Return the persona and what must be over first. Raises TimeIsUp, QuotaUsed: then that goes on as it is."""
        persona = slots.find_persona(self.persona_slug, self.user_id, self.wish.purpose)
        in_the_way = slots.to_release(self.user_id, persona, self.wish)
        if self.wish.is_taking_over:
            self.wish = slots.renewal_of(self.user_id, persona, self.wish, in_the_way)
        slots.terms_of(self.user_id, persona, self.wish)
        return persona, in_the_way

    def _keeps_slot(self, in_the_way: list[StreamingSession], claim: Claim) -> bool:
        """Whether nobody who waits is served first: the same conversation goes on, and the portal saw why it must."""
        if self.wish.is_taking_over and not {session.pk for session in in_the_way} <= self.wish.took_over:
            return False
        return all(claims.keeps_slot(session, claim, timezone.now()) for session in in_the_way)

    def _waiting(self) -> dict[str, Any]:
        continues = str(self.wish.continues) if self.wish.continues else None
        status = {"session_id": None, "status": Status.REQUESTED.value, "reason": "", "words": ""}
        moments = dict.fromkeys(("created_at", "ends_at", "conversation_ends_at", "ended_at"))
        return {
            "type": "session.status", **status, **moments, "now": timezone.now().isoformat(),
            "continues": continues, "waits_for": "release",
        }  # fmt: skip

    async def _pause(self, longest: timedelta) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), longest.total_seconds())


def _look(tab: TabAddress) -> tuple[bool, Standing | None]:
    """Return whether this tab's process was counted out, as one that hung, and where the tab stands.

    Whatever turns there are to give are given, for the worker may be away.
    """
    standing = queue.look(tab.channel)
    if standing is None:
        is_counted_out = not tabs.is_held(tab.process_id)
        return is_counted_out, queue.look(tab.channel)  # again: it may have been counted in between the two
    if not standing.is_turn:
        queue.give_turns(standing.account_id)
        standing = queue.look(tab.channel)
    return False, standing
