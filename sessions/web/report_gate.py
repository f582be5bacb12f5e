"""Limit the page reports that are recorded, and count those that are dropped.

A session's record has at most two events about dropped reports: one when the first is dropped while the session is
open, and one with the count after its end. Reports dropped later are not recorded.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from heygen_portal.runtime import budgets
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.in_thread import in_thread
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import OwnerId, SessionEvent, Status, StreamingSession

# Events per session that its pages reported. Lines of speech and urgent reports may exceed it.
MAX_EVENTS = 5_000
MAX_LINES = 10_000
# Kinds that add a line to the transcript.
LINE_KINDS = frozenset({EventKind.AVATAR_END_MESSAGE, EventKind.USER_END_MESSAGE})
# Never dropped because of other reports: they have a budget of their own.
URGENT_KINDS = frozenset({EventKind.FIRST_FRAME, EventKind.RATED})
# The stored events are counted again after this many reports, because other tabs report as well.
REPORTS_BETWEEN_COUNTS = 50
DROPPED = EventKind.REPORTS_DROPPED
RATE, MAXIMUM = "rate", "maximum"
BYTES_PER_COST_UNIT = 1024
# Sessions for which one process keeps a count of dropped reports.
MAX_SESSIONS_COUNTED = 10_000

# Dropped reports by session and cause, of all tabs of this process, until the session has ended.
_dropped: OrderedDict[UUID, Counter[str]] = OrderedDict()


class ReportGate:
    """The limits on one tab's reports."""

    def __init__(self) -> None:
        self._session_id: UUID | None = None
        self._reset(None)

    def _reset(self, session_id: UUID | None) -> None:
        self._session_id = session_id
        self._stored = 0
        self._until_count = 0
        self._paused_until = 0.0
        self._is_drop_recorded = False

    async def admit(
        self, session_id: UUID, person: OwnerId, message: Mapping[str, Any], address: str | None = None
    ) -> bool:
        """Return whether a report may be recorded.

        Raises TooManyRequests once per waiting time.
        """
        if session_id != self._session_id:
            await self.close()
            self._reset(session_id)
        kind = str(message.get("kind"))
        if session_id in _dropped:
            await self._record_drop(session_id, next(iter(_dropped[session_id])))
        if kind in URGENT_KINDS:
            await budgets.spend("urgent_report", session=session_id, person=person)
            return True
        now = asyncio.get_running_loop().time()
        if now < self._paused_until:
            _count(session_id, RATE)
            return False
        if await self._is_full(session_id, MAX_LINES if kind in LINE_KINDS else MAX_EVENTS):
            await self._drop(session_id, MAXIMUM)
            return False
        cost = 1 + len(json.dumps(message)) // BYTES_PER_COST_UNIT
        try:
            await budgets.spend("report", cost=cost, session=session_id, person=person, address=address)
        except TooManyRequests as exc:
            self._paused_until = now + exc.wait_seconds
            await self._drop(session_id, RATE)
            raise
        self._stored += 1
        self._until_count -= 1
        return True

    def overflowed(self, session_id: UUID | None) -> None:
        """Count a report that was refused because too many others were pending."""
        if session_id:
            _count(session_id, RATE)

    async def _is_full(self, session_id: UUID, most: int) -> bool:
        if self._until_count <= 0:
            reported = SessionEvent.objects.filter(session_id=session_id, source=events.Source.BROWSER)
            self._stored = await in_thread(reported.count)()
            self._until_count = REPORTS_BETWEEN_COUNTS
        return self._stored >= most

    async def _drop(self, session_id: UUID, because: str) -> None:
        _count(session_id, because)
        await self._record_drop(session_id, because)

    async def _record_drop(self, session_id: UUID, because: str) -> None:
        """Record that reports are missing, once for each session of this tab."""
        if not self._is_drop_recorded:
            self._is_drop_recorded = True
            await in_thread(_record_first_drop)(session_id, because)

    async def close(self) -> None:
        """Record how many reports were dropped, if the session has ended. Idempotent."""
        if self._session_id:
            await record_dropped(self._session_id)


def _count(session_id: UUID, because: str) -> None:
    _dropped.setdefault(session_id, Counter())[because] += 1
    while len(_dropped) > MAX_SESSIONS_COUNTED:
        _dropped.popitem(last=False)


async def record_dropped(session_id: UUID) -> None:
    """Record how many reports of an ended session this process dropped.

    Idempotent. Does nothing while the session is open.
    """
    if session_id in _dropped and await in_thread(_record_drop_count)(session_id, dict(_dropped[session_id])):
        _dropped.pop(session_id, None)


def _record_first_drop(session_id: UUID, because: str) -> None:
    with transaction.atomic():
        if _lock(session_id).status != Status.ENDED and not _count_drop_events(session_id):
            events.append(session_id, Entry(DROPPED, {"because": because}))


def _record_drop_count(session_id: UUID, dropped: Mapping[str, int]) -> bool:
    """Record the count if the session has ended and has the first event.

    Return whether it has ended.
    """
    with transaction.atomic():
        if _lock(session_id).status != Status.ENDED:
            return False
        if _count_drop_events(session_id) == 1:
            because = ", ".join(sorted(dropped))
            entry = Entry(DROPPED, {"because": because, "count": sum(dropped.values())})
            events.append(session_id, entry, is_over=True)
        return True


def _lock(session_id: UUID) -> StreamingSession:
    return StreamingSession.objects.select_for_update().only("status").get(pk=session_id)


def _count_drop_events(session_id: UUID) -> int:
    return SessionEvent.objects.filter(session_id=session_id, kind=DROPPED).count()
