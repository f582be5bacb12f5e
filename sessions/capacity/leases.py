"""This web process's lease on the tabs that it holds."""

from __future__ import annotations

import asyncio
import logging
import uuid

from django.db import DatabaseError, transaction

from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from sessions.capacity import queue
from sessions.models import QueuePlace
from sessions.presence import tabs as presence

logger = logging.getLogger(__name__)

PROCESS_ID = uuid.uuid4()
tabs: dict[str, uuid.UUID] = {}
"""The tabs that this process holds: their channels, and the sessions they are on."""
waiting: dict[str, QueuePlace] = {}
"""The places in line that its tabs hold, by their channels."""
_renewing: asyncio.Task[None] | None = None


async def hold() -> uuid.UUID:
    """Return this process's ID, with a lease that is renewed for as long as the event loop runs."""
    global _renewing
    if _renewing is None or _renewing.done() or _renewing.get_loop() is not asyncio.get_running_loop():
        await in_thread(presence.renew)(PROCESS_ID)
        _renewing = asyncio.create_task(_renew_for_ever(), name="lease")
        background.before_shutdown(give_back)
    return PROCESS_ID


async def give_back() -> None:
    """The server ends: its tabs have left, and what providers still answer is heard, for a while.

    What nobody hears any more stands on its row, and is found by the worker.
    """
    if _renewing:
        _renewing.cancel()
    await in_thread(presence.release)(PROCESS_ID)
    await background.finish()


async def _renew_for_ever() -> None:
    while True:
        await asyncio.sleep(presence.RENEWAL.total_seconds())
        try:
            await renew()
        except DatabaseError:
            # The tabs are still here; the next renewal may come through before the lease runs out.
            logger.exception("the lease could not be renewed")


async def renew() -> None:
    """Renew once. Where the lease had run out, its tabs were counted as closed: they are here, and come back.

    Those who wait in line stand where they stood.
    """
    if await in_thread(_renew)(list(waiting.values())):
        for channel, session_id in list(tabs.items()):
            await in_thread(presence.enter)(session_id, PROCESS_ID, channel)


def _renew(entries: list[QueuePlace]) -> bool:
    with transaction.atomic():  # no tab sees that it is alive again, and its place is not
        had_run_out = presence.renew(PROCESS_ID)
        if had_run_out:
            for entry in sorted(entries, key=lambda entry: (entry.account_id, entry.created_at)):
                queue.restore(entry)
    return had_run_out
