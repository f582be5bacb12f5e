"""The monitor process: records events from the provider's own sockets.

It follows each running session of monitored accounts. The events are recorded with source=provider, and nothing depends
on them. Several monitors share the work: each claims a few sessions at a time that no live process holds. Sessions of a
dead monitor become free when its lease expires.
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

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.catalogue import ProviderEvent
from heygen_portal.providers.contract.provider import ProviderError, SessionGone
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import alive
from sessions.actions import provider_status
from sessions.actions.stop import error_for_log
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry, Source
from sessions.models import MonitoredSession, Status, StreamingSession
from sessions.presence import tabs

logger = logging.getLogger(__name__)

POLL_S, IDLE_POLL_S = 2.0, 5.0
# Sessions that one monitor claims per poll, so that other monitors get a share.
SESSIONS_PER_POLL = 20
MAX_FAILURES = 8
FIRST_RETRY_S, MAX_RETRY_S = 1.0, 30.0
# After a connection of at least this length, the count of failures starts over.
STABLE_AFTER_S = 60.0
MONITORED_STATUSES = (Status.CONNECTING, Status.LIVE)


def is_any_account_monitored() -> bool:
    """Return whether any account has monitoring enabled."""
    return ProviderAccount.objects.filter(monitors_chat=True).exists()


def claim_sessions(process_id: UUID) -> list[StreamingSession]:
    """Claim unmonitored sessions and release ended ones.

    Return all sessions that this process holds.
    """
    tabs.expire_leases(clock.now())  # in case no worker is running
    mine = MonitoredSession.objects.filter(process_id=process_id)
    mine.exclude(session__in=_monitored_sessions()).delete()
    free = _monitored_sessions().filter(monitored=None).order_by("created_at")[:SESSIONS_PER_POLL]
    claims = [MonitoredSession(session=session, process_id=process_id) for session in free]
    # Of two monitors that claim one session, one gets it.
    MonitoredSession.objects.bulk_create(claims, ignore_conflicts=True)
    return list(_monitored_sessions().filter(monitored__process_id=process_id).select_related("account"))


def _monitored_sessions() -> QuerySet[StreamingSession]:
    running = StreamingSession.objects.filter(status__in=MONITORED_STATUSES, account__monitors_chat=True)
    return running.exclude(provider_session_id=None)


class Monitor:
    """The sessions that one process monitors."""

    def __init__(self) -> None:
        self.process_id = uuid.uuid4()
        self.following: dict[UUID, asyncio.Task[None]] = {}
        self._renewed_at: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until `stop` is set, then release all sessions."""
        try:
            while not stop.is_set():
                try:
                    await self.poll()
                except DatabaseError:
                    logger.exception("the sessions to be monitored could not be read")
                alive.renew()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), POLL_S if self._renewed_at else IDLE_POLL_S)
        finally:
            await self.close()

    async def poll(self) -> None:
        """Follow newly claimed sessions and stop following ended ones.

        One small query if no account is monitored.
        """
        if not await in_thread(is_any_account_monitored)():
            await self.close()
            return
        if not self._renewed_at or time.monotonic() - self._renewed_at > tabs.LEASE_RENEWAL_INTERVAL.total_seconds():
            was_lost = await in_thread(tabs.renew_lease)(self.process_id)
            if was_lost:  # other monitors may have claimed the sessions
                await self._stop_following(*self.following)
            self._renewed_at = time.monotonic()
        sessions = {session.pk: session for session in await in_thread(claim_sessions)(self.process_id)}
        over = self.following.keys() - sessions.keys()
        await self._stop_following(*over, *(self._failed() - over))  # those that failed start again
        for session_id in sessions.keys() - self.following.keys():
            self.following[session_id] = asyncio.create_task(follow(sessions[session_id]), name=f"monitor {session_id}")

    async def close(self) -> None:
        """Stop following all sessions, which other monitors can claim at once."""
        await self._stop_following(*self.following)
        if self._renewed_at:
            self._renewed_at = None
            await in_thread(tabs.release_lease)(self.process_id)

    def _failed(self) -> set[UUID]:
        """Return the followed sessions whose task ended with an error, as when the database was away."""
        done = ((session_id, task) for session_id, task in self.following.items() if task.done())
        return {session_id for session_id, task in done if not task.cancelled() and task.exception()}

    async def _stop_following(self, *session_ids: UUID) -> None:
        tasks = [self.following.pop(session_id) for session_id in session_ids]
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                logger.error("a session was not monitored to its end", exc_info=outcome)


async def follow(session: StreamingSession) -> None:
    """Record one session's events until it ends.

    Reopen a broken socket with back-off, MAX_FAILURES times in a row.
    """
    failures = 0
    while failures < MAX_FAILURES:
        began = time.monotonic()
        try:
            why = await _listen(session)
        except SessionGone:
            # The end may not have been reported to the portal, so check the provider's list.
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
    """Record the events of one socket and return why it closed. Raises SessionGone."""
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
