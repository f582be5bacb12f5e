"""Moments of a session's timeline, and queries on sequences of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from heygen_portal.runtime import stored_json
from sessions.lifecycle.event_kinds import EventKind

PORTAL, BROWSER, PROVIDER, LIVEKIT = "portal", "browser", "provider", "livekit"
# A task sent to the avatar. It is a row of its own, not an event of the record.
TASK = EventKind.TEXT_SENT


@dataclass(frozen=True)
class Moment:
    """Something that happened.

    `at` is the time on the portal's clock, `page_at` that on the browser's.
    """

    at: datetime
    source: str
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    page_at: datetime | None = None
    # Number of the event in the record; 0 for rows of other tables.
    number: int = 0

    def text(self, key: str) -> str:
        """Return a text of its data, empty if there is none. A damaged row may hold anything else."""
        return stored_json.text(self.data, key)

    @property
    def skew(self) -> timedelta | None:
        """How far the page's clock was ahead of the portal's."""
        return self.page_at - self.at if self.page_at else None


def in_order(recorded: Iterable[Moment]) -> tuple[Moment, ...]:
    """Return moments in order of time."""
    return tuple(sorted(recorded, key=lambda moment: (moment.at, moment.number, moment.source, moment.kind)))


def last(moments: Sequence[Moment], kind: str) -> Mapping[str, Any]:
    """Return the data of the last moment of a kind, empty if there is none."""
    return next((moment.data for moment in reversed(moments) if moment.kind == kind), {})


def first(moments: Sequence[Moment], kind: str, /, **data: Any) -> Moment | None:
    """Return the first moment of a kind whose data contains these values."""
    matching = (moment for moment in moments if moment.kind == kind)
    return next((moment for moment in matching if all(moment.data.get(key) == data[key] for key in data)), None)


def status_changes(moments: Sequence[Moment], *to: str) -> Iterator[Moment]:
    """Yield changes of status in the order of the record.

    With `to`, only changes to these statuses.
    """
    found = [moment for moment in moments if moment.kind == EventKind.STATUS and (not to or moment.text("to") in to)]
    yield from sorted(found, key=lambda moment: moment.number)
