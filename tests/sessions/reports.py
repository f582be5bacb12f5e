"""Reports of a page that cannot publish, without a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sessions.actions import send_task
from sessions.timeline.page_clock import PageClock
from sessions.web import page_reports


async def handle(session_id: UUID, message: Mapping[str, Any], clock: PageClock) -> None:
    """Store a report and act on it, as the session's socket does."""
    outcome = await page_reports.store(session_id, message, clock)
    if outcome.greeting:
        await send_task.deliver(outcome.greeting.session, outcome.greeting)
    if outcome.follow_up:
        await outcome.follow_up()
