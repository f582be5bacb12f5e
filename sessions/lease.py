"""This web process's lease on the tabs that it holds."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import timedelta

from django.db import DatabaseError

from heygen_portal import detached
from heygen_portal.threads import in_thread
from sessions import presence

logger = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=8)
"""A supervisor that asks for the end kills after ten seconds."""
PROCESS_ID = uuid.uuid4()
tabs: dict[str, uuid.UUID] = {}
"""The tabs that this process holds: their channels, and the sessions they are on."""
_renewing: asyncio.Task[None] | None = None


async def hold() -> uuid.UUID:
    """Return this process's ID, with a lease that is renewed for as long as the event loop runs."""
    global _renewing  # noqa: PLW0603 - one lease a process, as its name says
    if _renewing is None or _renewing.done() or _renewing.get_loop() is not asyncio.get_running_loop():
        await in_thread(presence.renew)(PROCESS_ID)
        _renewing = asyncio.create_task(_renew_for_ever(), name="lease")
        detached.before_shutdown(give_back)
    return PROCESS_ID


async def give_back() -> None:
    """The server ends: its tabs have left, and what providers still answer is heard, for a while.

    What nobody hears any more stands on its row, and is found by the worker.
    """
    if _renewing:
        _renewing.cancel()
    await in_thread(presence.release)(PROCESS_ID)
    await detached.finish(PATIENCE)


async def _renew_for_ever() -> None:
    while True:
        await asyncio.sleep(presence.RENEWAL.total_seconds())
        try:
            await renew()
        except DatabaseError:
            # The tabs are still here; the next renewal may come through before the lease runs out.
            logger.exception("the lease could not be renewed")


async def renew() -> None:
    """Renew once. Where the lease had run out, its tabs were counted as closed: they are here, and come back."""
    if await in_thread(presence.renew)(PROCESS_ID):
        for channel, session_id in list(tabs.items()):
            await in_thread(presence.enter)(session_id, PROCESS_ID, channel)
