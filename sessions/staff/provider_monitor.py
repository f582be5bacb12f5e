"""The monitor: a process that listens to the provider's own socket of each running session, where an account wants it.

What it hears stands in the session's record with source=provider. Nothing depends on it. Several monitors share the
work: each takes what no living process holds, some at a time, and what a dead one held is free when its lease runs out.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from contextlib import aclosing, suppress
from uuid import UUID

from django.db import DatabaseError
from django.db.models import QuerySet
from django.utils import timezone

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.contract.catalogue import ProviderEvent
from heygen_portal.providers.contract.provider import ProviderError, SessionGone
from heygen_portal.runtime.in_thread import in_thread
from sessions.actions import provider_status
from sessions.actions.stop import error_for_log
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry, Source
from sessions.models import ChatWatch, Status, StreamingSession
from sessions.presence import tabs

logger = logging.getLogger(__name__)

POLL_S, IDLE_POLL_S = 2.0, 5.0
SESSIONS_PER_POLL = 20
"""Sessions that one monitor takes in one look, so that another gets some of many."""
MAX_FAILURES = 8
FIRST_RETRY_S, MAX_RETRY_S = 1.0, 30.0
STABLE_AFTER_S = 60.0
"""A socket that held this long had opened well: its end counts as the first failure."""
MONITORED_STATUSES = (Status.CONNECTING, Status.LIVE)


def is_any_account_monitored() -> bool:
    """Whether any account has its sessions monitored."""
    return ProviderAccount.objects.filter(monitors_chat=True).exists()


def claim_sessions(process_id: UUID) -> list[StreamingSession]:
    """Take sessions that nobody listens to, let go of those that are over; return all that this process holds."""
    tabs.expire(timezone.now())  # where no worker does
    mine = ChatWatch.objects.filter(process_id=process_id)
    mine.exclude(session__in=_monitored_sessions()).delete()
    free = _monitored_sessions().filter(watch=None).order_by("created_at")[:SESSIONS_PER_POLL]
    watches = [ChatWatch(session=session, process_id=process_id) for session in free]
    ChatWatch.objects.bulk_create(watches, ignore_conflicts=True)  # of two that take the same, one has it
    return list(_monitored_sessions().filter(watch__process_id=process_id).select_related("account"))


def _monitored_sessions() -> QuerySet[StreamingSession]:
    running = StreamingSession.objects.filter(status__in=MONITORED_STATUSES, account__monitors_chat=True)
    return running.exclude(provider_session_id=None)


class Monitor:
    """One process's share of the sockets."""

    def __init__(self) -> None:
        self.process_id = uuid.uuid4()
        self.following: dict[UUID, asyncio.Task[None]] = {}
        self._renewed_at: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again until `stop`; then give everything back."""
        try:
            while not stop.is_set():
                try:
                    await self.poll()
                except DatabaseError:
                    logger.exception("the sessions to be monitored could not be read")
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), POLL_S if self._renewed_at else IDLE_POLL_S)
        finally:
            await self.close()

    async def poll(self) -> None:
        """Begin to listen to what is new, stop listening to what is over. Where nobody wants it, one small query."""
        if not await in_thread(is_any_account_monitored)():
            await self.close()
            return
        if not self._renewed_at or time.monotonic() - self._renewed_at > tabs.RENEWAL.total_seconds():
            was_lost = await in_thread(tabs.renew)(self.process_id)
            if was_lost:  # others may have taken over
                await self._stop_following(*self.following)
            self._renewed_at = time.monotonic()
        sessions = {session.pk: session for session in await in_thread(claim_sessions)(self.process_id)}
        await self._stop_following(*(self.following.keys() - sessions.keys()))
        for session_id in sessions.keys() - self.following.keys():
            self.following[session_id] = asyncio.create_task(follow(sessions[session_id]), name=f"monitor {session_id}")

    async def close(self) -> None:
        """Stop listening; the sessions are free for another monitor at once."""
        await self._stop_following(*self.following)
        if self._renewed_at:
            self._renewed_at = None
            await in_thread(tabs.release)(self.process_id)

    async def _stop_following(self, *session_ids: UUID) -> None:
        tasks = [self.following.pop(session_id) for session_id in session_ids]
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                logger.error("a session was not monitored to its end", exc_info=outcome)


async def follow(session: StreamingSession) -> None:
    """Listen to one session until it is over there; a socket that breaks is opened again, ever later, some times."""
    failures = 0
    while failures < MAX_FAILURES:
        began = time.monotonic()
        try:
            why = await _listen(session)
        except SessionGone:
            # Perhaps it was never told to us: the provider's list says.
            await provider_status.end_if_gone(session.pk)
            return
        if time.monotonic() - began > STABLE_AFTER_S:
            failures = 0
        failures += 1
        if failures == 1:
            await _record(session, Entry(EventKind.MONITOR_LOST, {"why": why}))
        pause = min(FIRST_RETRY_S * 2 ** min(failures - 1, 20), MAX_RETRY_S)
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))
    await _record(session, Entry(EventKind.MONITOR_GAVE_UP, {"tries": failures}))


async def _listen(session: StreamingSession) -> str:
    """Record what one socket tells; return why it ended. Raises SessionGone."""
    assert session.provider_session_id
    try:
        async with aclosing(
            providers.for_account(session.account).listen(session.provider_session_id)
        ) as socket_events:
            async for event in socket_events:
                await _record(session, _entry(event))
    except SessionGone:
        raise
    except ProviderError as exc:
        logger.warning("session %s: its monitor's socket broke: %s", session.pk, error_for_log(exc))
        return type(exc).__name__
    return "closed"


def _entry(event: ProviderEvent) -> Entry:
    if event.kind == "opened":
        return Entry(EventKind.MONITOR_OPENED)
    details = {"task_id": event.task_id, "characters": event.characters}
    return Entry(event.kind, {name: value for name, value in details.items() if value}, Source.PROVIDER)


async def _record(session: StreamingSession, entry: Entry) -> None:
    await in_thread(events.record)(session.pk, entry)
