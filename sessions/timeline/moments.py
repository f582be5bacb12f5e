"""What happened, one moment at a time, and how a sequence of moments is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sessions.lifecycle.event_kinds import EventKind

PORTAL, BROWSER, PROVIDER, LIVEKIT = "portal", "browser", "provider", "livekit"
TASK = EventKind.TEXT_SENT
"""A text handed to the avatar: a row of its own, not an event of the record."""


@dataclass(frozen=True)
class Moment:
    """One thing that happened. `at` is the portal's clock; `page_at` what the browser's own said."""

    at: datetime
    source: str
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    page_at: datetime | None = None
    number: int = 0
    """Its place in the chained record; 0 for what stands in another table."""

    @property
    def skew(self) -> timedelta | None:
        """How far the page's clock was ahead."""
        return self.page_at - self.at if self.page_at else None


def in_order(recorded: Iterable[Moment]) -> tuple[Moment, ...]:
    """Return moments in order, however they come."""
    return tuple(sorted(recorded, key=lambda moment: (moment.at, moment.number, moment.source, moment.kind)))


def last(moments: Sequence[Moment], kind: str, key: str) -> Any:
    """Return what the last of this kind says under this name."""
    return next((moment.data.get(key) for moment in reversed(moments) if moment.kind == kind), None)


def first(moments: Sequence[Moment], kind: str, /, **data: Any) -> Moment | None:
    """Return the first of this kind that says this."""
    matching = (moment for moment in moments if moment.kind == kind)
    return next((moment for moment in matching if all(moment.data.get(key) == data[key] for key in data)), None)


def status_changes(moments: Sequence[Moment], *to: str) -> Iterator[Moment]:
    """Changes of status, in the order of the record, to these or to any."""
    found = [
        moment for moment in moments if moment.kind == EventKind.STATUS and (not to or moment.data.get("to") in to)
    ]
    yield from sorted(found, key=lambda moment: moment.number)
