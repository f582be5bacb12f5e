"""Start a session for one browser tab.

This is the use case from the request to a session that runs at the provider. `StartAttempt` takes these steps, in
this order:

1. `run` refuses a second session in the same tab.
2. `_end_blocking_sessions` ends what a take-over or a renewal replaces, and waits for the provider's confirmation.
3. `_take_slot` takes a slot at once, after a comparison with the provider's list, or through the queue.
4. `_create_session` asks the provider for the session (`provision`) and connects the tab with it.
5. `_requeue` returns to the queue if the provider has no slot after all; step 4 follows again.

What holds a slot or a queue position is a row. The process alone only remembers which tab to inform.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from avatars.models import Persona
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import LimitReached, RoomAccess
from heygen_portal.runtime import background, logs, metrics, tracing
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import provision, queries, stop
from sessions.capacity import claims, queue, slots
from sessions.capacity.claims import Claim
from sessions.capacity.leases import this_process
from sessions.capacity.queue import QueuePosition, TabAddress
from sessions.capacity.slots import NoFreeSlot, StartRequest
from sessions.lifecycle import end_evidence
from sessions.models import EndReason, OwnerId, QueueEntry, Status, StreamingSession
from sessions.presence import tabs

# A queued tab is woken when the queue moves. It also polls, because Redis may be down.
QUEUE_POLL = timedelta(seconds=3)
RELEASE_POLL = timedelta(seconds=0.25)  # frequent, because few starts wait for the end of another session
RELEASE_TIMEOUT = timedelta(seconds=45)


class StartingTab(Protocol):
    """What a start needs of its browser tab."""

    @property
    def is_open(self) -> bool:
        """False as soon as the page is gone."""

    @property
    def session_id(self) -> UUID | None:
        """The session that the tab follows."""

    async def send_json(self, message: dict[str, Any], /) -> None:
        """Send a message to the page."""

    async def stop_relaying(self) -> None:
        """Relay no more events of the tab's session, which stays the tab's session."""

    async def follow(self, session_id: UUID, /) -> None:
        """Make this the tab's session and relay its events, starting with its status."""

    async def unfollow(self) -> None:
        """Leave the tab without a session."""

    async def send_lines(self, session_id: UUID, /) -> None:
        """Send the lines of the conversation that the session continues."""

    async def give_room(self, room: RoomAccess, /) -> None:
        """Let the page join the session's room."""

    def take_prepared_room(self) -> str:
        """Return the name of the room that the page may be in, or an empty string."""


class StartAttempt:
    """One attempt to start a session.

    Call `run` once; `give_up` and `wake` may be called at any time.
    """

    def __init__(
        self, owner: OwnerId, persona_slug: str, request: StartRequest, address: TabAddress, tab: StartingTab
    ) -> None:
        self.owner = owner
        self.persona_slug = persona_slug
        self.request = request
        self.address = address
        self.tab = tab
        self.is_waiting = True
        self.is_given_up = False
        self._waits_since = clock.now()
        self._is_queued = False
        self._woken = asyncio.Event()

    async def run(self) -> bool:
        """Start the session. Return False if the attempt was given up first.

        Raises SessionError. A provider failure raises nothing: the session ends with a reason that is published to
        its tabs.
        """
        current = self.tab.session_id
        if current and self.request.is_plain and await in_thread(queries.is_running)(current):
            raise errors.AlreadyStarted
        if current and current == self.request.continues:
            await self.tab.stop_relaying()
        session = await self._wait_for(self._take_slot())
        while session:
            try:
                await self._create_session(session)
            except LimitReached as exc:
                session = await self._wait_for(self._requeue(session, exc))
            else:
                return True
        return False

    async def give_up(self) -> None:
        """Stop waiting. A session that is stored at the same moment is ended."""
        self.is_given_up = True
        self.wake()
        if self._is_queued:
            await in_thread(queue.leave)(self.address.channel)

    def wake(self) -> None:
        """Check at once whether the queue has moved."""
        self._woken.set()

    async def _wait_for(self, slot: Awaitable[StreamingSession | None]) -> StreamingSession | None:
        """Return the session that took a slot, or None if the attempt was given up."""
        self.is_waiting = True
        try:
            session = await self._leave_queue_after(slot)
        finally:
            self.is_waiting = False
        if session and self.is_given_up and self.tab.is_open:
            await in_thread(tabs.leave)(self.address.channel)
            await stop.end_unopened(session, EndReason.USER_STOPPED, end_evidence.person(self.owner))
            return None
        return session

    async def _leave_queue_after(self, slot: Awaitable[StreamingSession | None]) -> StreamingSession | None:
        try:
            return await slot
        finally:
            if self._is_queued:
                this_process.forget_queue_entry(self.address.channel)
                await in_thread(queue.leave)(self.address.channel)

    # A slot: at once, after a comparison with the provider's list, or through the queue

    async def _take_slot(self) -> StreamingSession | None:
        if not self.request.is_plain and not await self._end_blocking_sessions():
            return None
        try:
            return await self._open_session()
        except NoFreeSlot as full:
            persona, has_queue = full.persona, full.has_queue
        if not has_queue:  # otherwise the first person in the queue has reconciled the list
            await stop.try_reconcile(persona.avatar.account)
            with suppress(NoFreeSlot):
                return await self._open_session()
        await self._enter_queue(in_thread(slots.join_queue)(self.owner, persona, self.address, self.request))
        return await self._wait_in_queue()

    async def _open_session(self) -> StreamingSession | None:
        if self.is_given_up:
            return None
        await this_process.ensure_lease()
        return await in_thread(slots.open_in_tab)(self.owner, self.persona_slug, self.address, self.request)

    # The sessions that a take-over or a renewal replaces

    async def _end_blocking_sessions(self) -> bool:
        """End them and wait for the provider's confirmation.

        Return False if the attempt was given up meanwhile. The person's slot is held for that long. Raises
        NotReleased, NotFound, ConsentNeeded, TimeIsUp, QuotaUsed.
        """
        give_up_at = clock.now() + RELEASE_TIMEOUT
        persona, blocking = await in_thread(self._find_blocking_sessions)()
        if not blocking:
            return True
        claim = Claim(self.owner, self.request.claimed_reason)
        if not self.request.is_taking_over:
            claim = await claims.check_with_provider(blocking[0], claim)
        if any(session.account_id == persona.avatar.account_id for session in blocking):
            joins_at_end = not await in_thread(self._keeps_slot)(blocking, claim)
            hold = partial(slots.hold_slot, joins_at_end=joins_at_end)
            held_until = give_up_at + queue.OFFER_TIMEOUT
            holding = in_thread(hold)(self.owner, persona, self.address, self.request, held_until)
            await self._enter_queue(holding)
        await self.tab.send_json(self._release_message())
        for session in blocking:
            if self.request.is_taking_over:
                ending = stop.stop(session, EndReason.TAKEN_OVER, end_evidence.taken_over(self.owner))
            else:
                ending = stop.stop_as_claimed(session, claim)
            background.spawn(ending)  # not awaited, because the attempt may be given up meanwhile
        while not self.is_given_up:
            self._woken.clear()
            if await in_thread(slots.have_ended)(blocking):
                return True
            if clock.now() >= give_up_at:
                raise errors.NotReleased
            await self._pause(RELEASE_POLL)
        return False

    def _find_blocking_sessions(self) -> tuple[Persona, list[StreamingSession]]:
        """Return the persona and the sessions to end first.

        Raises ConsentNeeded, TimeIsUp, QuotaUsed before any of them is ended.
        """
        persona = slots.find_persona(self.persona_slug, self.owner, self.request.purpose)
        blocking = slots.blocking_sessions(self.owner, persona, self.request)
        if self.request.is_taking_over:
            self.request = slots.as_renewal(self.owner, persona, self.request, blocking)
        slots.require_consent(self.owner, persona, self.request)
        slots.limits_of(self.owner, persona, self.request)
        return persona, blocking

    def _keeps_slot(self, blocking: list[StreamingSession], claim: Claim) -> bool:
        """Return whether the person is served before people who wait.

        They are if the portal saw why the conversation moves.
        """
        if self.request.is_taking_over and not {session.pk for session in blocking} <= self.request.took_over:
            return False
        return all(claims.keeps_slot(session, claim, clock.now()) for session in blocking)

    def _release_message(self) -> dict[str, Any]:
        continues = str(self.request.continues) if self.request.continues else None
        status = {"session_id": None, "status": Status.REQUESTED.value, "reason": "", "words": ""}
        moments = dict.fromkeys(("created_at", "ends_at", "conversation_ends_at", "ended_at"))
        return {
            "type": "session.status", **status, **moments, "now": clock.now().isoformat(),
            "continues": continues, "waits_for": "release",
        }  # fmt: skip

    # The queue

    async def _enter_queue(self, joining: Awaitable[QueueEntry | None]) -> bool:
        self._is_queued = True  # set first: `give_up` also removes an entry that is being stored
        await this_process.ensure_lease()
        if entry := await joining:
            self._waits_since = entry.created_at
            this_process.remember_queue_entry(entry)
        return entry is not None

    async def _wait_in_queue(self) -> StreamingSession | None:
        """Wait for an offered slot and take it. Return None if the attempt was given up.

        Raises QueueLost.
        """
        sent: QueuePosition | None = None
        while not self.is_given_up:
            self._woken.clear()
            has_lease_expired, position = await in_thread(_check_position)(self.address)
            if position is None and not has_lease_expired:
                break
            if position is None:
                pass  # the next renewal of this process's lease restores the entry
            elif position.is_offered:
                try:
                    session = await self._open_session()
                    metrics.queue_wait.observe((clock.now() - self._waits_since).total_seconds())
                    return session
                except NoFreeSlot:  # the limit was lowered meanwhile
                    await in_thread(queue.return_offer)(self.address.channel)
            elif position != sent:
                sent = position
                await self._send_position(position)
            await self._pause(QUEUE_POLL)
        if self.is_given_up:
            return None
        raise errors.QueueLost

    async def _send_position(self, position: QueuePosition) -> None:
        wait = await in_thread(queue.expected_wait)(position, clock.now())
        seconds = None if wait is None else round(wait.total_seconds())
        fields = {"place": position.position, "waiting": position.waiting, "expected_wait_s": seconds}
        await self.tab.send_json({"type": "queue.place", **fields})

    async def _pause(self, longest: timedelta) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), longest.total_seconds())

    # The provider

    async def _create_session(self, session: StreamingSession) -> None:
        """Ask the provider for the session and connect the tab with it.

        Raises LimitReached.
        """
        logs.set_session(session.pk)
        if tracing.is_on():
            await asyncio.to_thread(tracing.remember, session.pk)
        # The provider is asked first: joining the session's group takes less time than its answer.
        opening = provision.create_and_start(session, self.tab.give_room, self.tab.take_prepared_room())
        creating = background.spawn(opening)
        await self.tab.follow(session.pk)
        if session.continues_id:
            await self.tab.send_lines(session.pk)
        await creating

    async def _requeue(self, session: StreamingSession, refusal: LimitReached) -> StreamingSession | None:
        """End a session that the provider has no slot for, and queue again.

        The user's position is before all who started later. Return None if the session was stopped meanwhile or the
        attempt was given up.
        """
        await self.tab.unfollow()  # the page is informed about the queue, not about this session's end
        if not self.tab.is_open:
            await self.give_up()
        requeue = in_thread(slots.requeue)
        rejoining = requeue(session, self.address, self._waits_since, end_evidence.provider_failed(refusal))
        next_session = await self._wait_in_queue() if await self._enter_queue(rejoining) else None
        if next_session is None and not self.is_given_up:
            await self.tab.follow(session.pk)  # it was stopped meanwhile; inform the page of the reason
        return next_session


def _check_position(address: TabAddress) -> tuple[bool, QueuePosition | None]:
    """Return whether the process's lease ran out, and the tab's queue position.

    Slots that are free are offered first, because the worker may be away.
    """
    position = queue.position_of(address.channel)
    if position is None:
        has_lease_expired = not tabs.has_lease(address.process_id)
        return has_lease_expired, queue.position_of(address.channel)  # again: it may have been restored in between
    if not position.is_offered:
        queue.try_offer_slots(position.account_id)
        position = queue.position_of(address.channel)
    return False, position
