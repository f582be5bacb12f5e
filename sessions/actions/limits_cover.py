"""Web processes enforce limits while no worker does: a dead worker, beat or broker only makes limits late."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import datetime, timedelta
from uuid import UUID

from heygen_portal.postgresql import clock
from heygen_portal.runtime.in_thread import in_thread
from sessions.actions import stop
from sessions.models import StreamingSession
from sessions.presence import tabs

logger = logging.getLogger(__name__)

INTERVAL_S = 5.0
COVER_DELAY = timedelta(seconds=10)
"""How late a deadline must be. A worker handles its due rows within a second."""
SESSIONS_PER_ROUND = 200

_covering: asyncio.Task[None] | None = None


def start() -> None:
    """Look for overdue sessions until the event loop ends. Called when a web process starts to serve."""
    global _covering
    _covering = asyncio.get_running_loop().create_task(_cover_for_ever(), name="limits")


async def _cover_for_ever() -> None:
    while True:
        await asyncio.sleep(INTERVAL_S * random.uniform(0.8, 1.2))  # processes take turns
        try:
            await enforce_overdue(clock.now())
        except Exception:
            logger.exception("overdue sessions could not be looked up")  # the next round may succeed


async def enforce_overdue(now: datetime) -> None:
    """Stop or warn the sessions that no worker handled in time, and remove dead web processes.

    Returns after one attempt each. This process retries stops that are not confirmed.
    """
    overdue = await in_thread(_overdue)(now - COVER_DELAY)
    if overdue:
        logger.warning("%s sessions are overdue and no worker handles them; this web process does", len(overdue))
        await stop.enforce_due_of(overdue)


def _overdue(before: datetime) -> list[UUID]:
    if tabs.has_expired_leases(before):
        tabs.expire_leases(before)
    return list(StreamingSession.objects.due(before).values_list("pk", flat=True)[:SESSIONS_PER_ROUND])
