"""The lease of this web process on the tabs and queue entries that it holds."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

from django.db import DatabaseError, transaction

from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from sessions.capacity import queue
from sessions.models import QueueEntry
from sessions.presence import tabs

logger = logging.getLogger(__name__)

SAFE_LEASE_S = (tabs.LEASE_DURATION - tabs.LEASE_RENEWAL_INTERVAL).total_seconds()
"""How long after a renewal nobody can have removed the lease."""
# The lease must not run out because other calls hold all threads.
_lease_thread = ThreadPoolExecutor(1, thread_name_prefix="lease")


class WebProcess:
    """One web process: its ID, its lease, and what its tabs hold.

    Used in one event loop. The rows are the truth. What is remembered here restores them after a renewal that came
    too late.
    """

    def __init__(self) -> None:
        self.id = uuid4()
        self._sessions: dict[str, UUID] = {}  # by the channels of the tabs
        self._queue_entries: dict[str, QueueEntry] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._renewed_at: float | None = None
        self._ensuring: asyncio.Future[None] | None = None

    def remember_session(self, channel: str, session_id: UUID) -> None:
        self._sessions[channel] = session_id

    def forget_session(self, channel: str) -> None:
        """Safe to repeat."""
        self._sessions.pop(channel, None)

    def remember_queue_entry(self, entry: QueueEntry) -> None:
        self._queue_entries[entry.channel] = entry

    def forget_queue_entry(self, channel: str) -> None:
        """Safe to repeat."""
        self._queue_entries.pop(channel, None)

    async def hold_lease(self) -> None:
        """Take the lease, and renew it for as long as the event loop runs.

        Safe to repeat.
        """
        renewing = self._renewing
        if renewing is None or renewing.done() or renewing.get_loop() is not asyncio.get_running_loop():
            began_at = time.monotonic()
            await in_thread(tabs.renew_lease, _lease_thread)(self.id)
            self._renewed_at = began_at
            self._renewing = asyncio.create_task(self._renew_for_ever(), name="lease")
            background.on_shutdown(self.hand_over)

    async def ensure_lease(self) -> None:
        """Renew the lease if it may have run out.

        Call it before something is stored that belongs to this process. After an outage of the database, messages
        arrive before the next renewal.
        """
        if self._renewed_at is None or time.monotonic() - self._renewed_at < SAFE_LEASE_S:
            return
        if self._ensuring is None or self._ensuring.done():
            self._ensuring = background.spawn(self.renew_lease())
        await asyncio.shield(self._ensuring)

    async def hand_over(self) -> None:
        """Give the lease up at shutdown, and wait a while for providers' answers.

        The worker finds what is not answered by then.
        """
        assert self._renewing  # `hold_lease` has scheduled this call
        self._renewing.cancel()
        await in_thread(tabs.hand_over)(self.id)
        await background.finish()

    async def renew_lease(self) -> None:
        """Renew once.

        If the lease had run out, restore the tabs and queue entries that were removed with it.
        """
        began_at = time.monotonic()
        was_expired = await in_thread(self._renew, _lease_thread)(list(self._queue_entries.values()))
        self._renewed_at = began_at
        if was_expired:
            for channel, session_id in list(self._sessions.items()):
                await in_thread(tabs.enter)(session_id, self.id, channel)

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(tabs.LEASE_RENEWAL_INTERVAL.total_seconds())
            try:
                await self.renew_lease()
            except DatabaseError:
                # The tabs are still here; the next renewal may come through before the lease runs out.
                logger.exception("the lease could not be renewed")

    def _renew(self, entries: list[QueueEntry]) -> bool:
        """Return whether the lease had run out."""
        with transaction.atomic():  # no tab finds the process alive and its entry missing
            was_expired = tabs.renew_lease(self.id)
            if was_expired:
                for entry in sorted(entries, key=lambda entry: (entry.account_id, entry.created_at)):
                    queue.restore(entry)
        return was_expired


this_process = WebProcess()
