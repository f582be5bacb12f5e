"""How many reports of a page the record takes: within budgets, up to a maximum, counting what was dropped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from heygen_portal import budgets
from heygen_portal.budgets import TooManyRequests
from heygen_portal.threads import in_thread
from sessions import events
from sessions.events import Entry
from sessions.models import SessionEvent

MOST_EVENTS = 5_000
"""Events of one session that its pages reported. Lines of speech and urgent reports may exceed it."""
MOST_LINES = 10_000
LINES = frozenset({"avatar_end_message", "user_end_message"})
URGENT = frozenset({"first_frame", "rated"})
"""Never dropped because of other reports: a budget of their own bounds them."""
COUNT_AGAIN = 50
"""Reports after which the stored ones are counted again: other tabs report as well."""
DROPPED = "reports_dropped"
RATE, MAXIMUM = "rate", "maximum"
UNIT_BYTES = 1024


class ReportGate:
    """One tab's reports to the record."""

    def __init__(self) -> None:
        self._session_id: UUID | None = None
        self._begin_anew(None)

    def _begin_anew(self, session_id: UUID | None) -> None:
        self._session_id = session_id
        self._stored = 0
        self._until_count = 0
        self._shut_until = 0.0
        self._dropped = {RATE: 0, MAXIMUM: 0}
        self._is_noted = False

    async def admit(self, session_id: UUID, user_id: int, message: Mapping[str, Any]) -> bool:
        """Return whether a report may be recorded. Raises TooManyRequests once for each time that it must wait."""
        if session_id != self._session_id:
            await self.close()
            self._begin_anew(session_id)
        kind = str(message.get("kind"))
        if kind in URGENT:
            await budgets.spend("urgent_report", session=session_id)
            return True
        now = asyncio.get_running_loop().time()
        if now < self._shut_until:
            self._dropped[RATE] += 1
            return False
        if await self._is_full(session_id, MOST_LINES if kind in LINES else MOST_EVENTS):
            await self._drop(session_id, MAXIMUM)
            return False
        cost = 1 + len(json.dumps(message)) // UNIT_BYTES
        try:
            await budgets.spend("report", cost=cost, session=session_id, person=user_id)
        except TooManyRequests as exc:
            self._shut_until = now + exc.wait_seconds
            await self._drop(session_id, RATE)
            raise
        self._stored += 1
        self._until_count -= 1
        return True

    def overflowed(self) -> None:
        """Count a report that found too many others under way."""
        self._dropped[RATE] += 1

    async def _is_full(self, session_id: UUID, most: int) -> bool:
        if self._until_count <= 0:
            reported = SessionEvent.objects.filter(session_id=session_id, source=events.Source.BROWSER)
            self._stored = await in_thread(reported.count)()
            self._until_count = COUNT_AGAIN
        return self._stored >= most

    async def _drop(self, session_id: UUID, because: str) -> None:
        """Count it; the record says at once that something is missing."""
        self._dropped[because] += 1
        if not self._is_noted:
            self._is_noted = True
            await in_thread(events.record)(session_id, Entry(DROPPED, {"because": because}))

    async def close(self) -> None:
        """Record how many were dropped. Safe to repeat."""
        if self._session_id:
            for because, count in self._dropped.items():
                if count:
                    self._dropped[because] = 0
                    entry = Entry(DROPPED, {"because": because, "count": count})
                    await in_thread(events.record)(self._session_id, entry)
