"""Verification of a session's last activity against its events and texts.

The last activity is stated only when the session ends. Until then, and in this statement, it may not be later than what
caused it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sessions.lifecycle.event_kinds import EventKind
from sessions.timeline.page_clock import MAX_REPORT_AGE

# Portal's events: recorded in the transaction of the activity.
OWN_KINDS = frozenset({EventKind.STAYED, EventKind.INTERRUPTED})
# Reports of speech: their time may precede their arrival.
REPORTED_KINDS = frozenset({EventKind.USER_START, EventKind.USER_STOP, EventKind.USER_END_MESSAGE})
KINDS: Mapping[str, timedelta] = {
    **dict.fromkeys(map(str, OWN_KINDS), timedelta(0)),
    **dict.fromkeys(map(str, REPORTED_KINDS), MAX_REPORT_AGE),
}
# Clocks of several processes differ, and storing may take a while on a busy machine.
TOLERANCE = timedelta(minutes=1)


class LastActivity:
    """The latest activity of which a session's record knows. Times are ISO 8601 in UTC, as stored."""

    def __init__(self) -> None:
        self.is_complete = False  # whether each activity of the session left an event or a text
        self._latest: dict[timedelta, str] = {}

    def note(self, at: Any, margin: timedelta = timedelta(0)) -> None:
        """Note an activity at this time, or up to `margin` later."""
        if isinstance(at, str) and at > self._latest.get(margin, ""):
            self._latest[margin] = at

    def precedes(self, active_at: Any) -> bool:
        """Whether `active_at` is later than any known activity explains.

        Times that cannot be read are faults of their own.
        """
        try:
            latest = max(datetime.fromisoformat(at) + margin for margin, at in self._latest.items())
            return datetime.fromisoformat(active_at) > latest + TOLERANCE
        except (TypeError, ValueError, OverflowError):
            return False
