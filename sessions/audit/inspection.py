"""What an auditor is shown of one session, and the entry that each look leaves behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model

from sessions.costs import ledger
from sessions.lifecycle import events, vouching
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import SessionEvent, SessionTask, StreamingSession, Utterance
from sessions.timeline import page_clock, timeline
from sessions.timeline.moments import PROVIDER, Moment
from sessions.timeline.page_clock import PAGE_AT
from sessions.timeline.timeline import Timeline

MOST_EVENTS = 5000
"""Events that the timeline, its measures and its gaps are computed from: the first of the record."""
EVENTS_A_PAGE = 500
LAST_WORDS = 3
"""Words that are shown of where a line was cut off."""
OPENED, STOP_ASKED = EventKind.TRANSCRIPT_OPENED, EventKind.STOP_ASKED
LOOKS = (
    OPENED,
    STOP_ASKED,
    EventKind.OBSERVED,
    EventKind.EXPORTED,
    EventKind.HELD,
    EventKind.HOLD_RELEASED,
    EventKind.SPEECH_ERASED,
)
"""Kinds of what people with power over sessions did to this one."""
ADDED = EventKind.LINE_ADDED
"""A line of the provider's transcript: a row of ours, not an event of the record."""


@dataclass(frozen=True)
class Line:
    """One line of the transcript; without its words until somebody has said why they are needed."""

    who: str
    by: str
    kind: str
    source: str
    at: datetime
    is_interrupted: bool
    characters: int
    standing: str
    """Who vouches for it: `vouching.Standing`."""
    is_unreported: bool
    """Only the provider's transcript has it."""
    text: str = ""
    cut_at: str = ""
    """The last words that were heard of a line that was interrupted."""


@dataclass(frozen=True)
class Look:
    """Somebody with power over sessions did something to this one."""

    kind: str
    at: datetime
    who: str
    address: str
    reason: str


@dataclass(frozen=True)
class EventsPage:
    """A part of what happened. Events beyond MOST_EVENTS follow the timeline, in the order of the record."""

    moments: Sequence[Moment]
    number: int
    pages: int
    total: int
    """Events of the whole record."""

    @property
    def has_more_than_analysed(self) -> bool:
        return self.total > MOST_EVENTS


def events_page(session: StreamingSession, line: Timeline, total: int, number: int) -> EventsPage:
    """Return one page of what happened; a number that there is none of gives the nearest.

    `total` is the number of the record's last event.
    """
    on_line = max(1, ceil(len(line.moments) / EVENTS_A_PAGE))
    pages = on_line + ceil(max(0, total - MOST_EVENTS) / EVENTS_A_PAGE)
    number = min(max(number, 1), pages)
    if number <= on_line:
        start = (number - 1) * EVENTS_A_PAGE
        return EventsPage(line.moments[start : start + EVENTS_A_PAGE], number, pages, total)
    start = MOST_EVENTS + (number - on_line - 1) * EVENTS_A_PAGE
    rest = SessionEvent.objects.filter(session=session).order_by("number")[start : start + EVENTS_A_PAGE]
    return EventsPage([_moment(event) for event in rest], number, pages, total)


def timeline_of(session: StreamingSession) -> Timeline:
    """Return what is known of a session on one clock, up to MOST_EVENTS events; no speech."""
    return timeline.build(_moments(session), session.created_at)


def _moment(event: SessionEvent) -> Moment:
    page_at = _as_moment(event.data.get(PAGE_AT))
    return Moment(event.at, event.source, event.kind, event.data, page_at, event.number)


def _moments(session: StreamingSession) -> Iterator[Moment]:
    for event in SessionEvent.objects.filter(session=session).order_by("number")[:MOST_EVENTS]:
        yield _moment(event)
    for task in SessionTask.objects.filter(session=session).defer("sealed"):
        yield ledger.task_moment(task)
    for line in Utterance.objects.filter(session=session, source=SessionEvent.Source.PROVIDER).defer("sealed"):
        yield Moment(line.at, PROVIDER, ADDED, {"who": line.who})


def _as_moment(told: Any) -> datetime | None:
    """Return a moment that is stored in an event; None for one that cannot be shown in every time zone."""
    try:
        moment = datetime.fromisoformat(told)
        return moment if moment.tzinfo and page_clock.FIRST <= moment <= page_clock.LAST else None
    except (TypeError, ValueError, OverflowError):
        return None


def lines_of(session: StreamingSession, *, is_open: bool) -> list[Line]:
    """Return the transcript, with its words only where it is open; what was erased has none."""
    rows = vouching.for_reading(list(Utterance.objects.filter(session=session)))
    return [_line(row, is_open) for row in rows]


def _line(row: Utterance, is_open: bool) -> Line:
    said = row.shown
    heard = vars(row).get("heard", said)
    cut_at = " ".join(heard.split()[-LAST_WORDS:]) if row.is_interrupted and is_open else ""
    return Line(
        row.who, row.by, row.kind, row.source, row.at, row.is_interrupted, len(said), row.standing, row.is_unreported,
        said if is_open else "", cut_at,
    )  # fmt: skip


def looks_at(session: StreamingSession) -> list[Look]:
    """Return who did what to a session, the first first."""
    rows = list(SessionEvent.objects.filter(session=session, kind__in=LOOKS).order_by("number"))
    people = get_user_model().objects.in_bulk([who for row in rows if (who := _by(row))])
    return [_look(row, people) for row in rows]


def _look(row: SessionEvent, people: Mapping[Any, Any]) -> Look:
    said = row.data
    return Look(
        row.kind, row.at, str(people.get(_by(row), "–")), str(said.get("from") or ""), str(said.get("reason") or "")
    )


def _by(row: SessionEvent) -> Any:
    return row.data.get("by") or row.data.get("user")


def note_opening(session_id: UUID, user_id: int, address: str | None, reason: str) -> None:
    """Whoever reads what was said has said why."""
    events.record(session_id, Entry(OPENED, {"by": user_id, "from": address, "reason": reason}))


def note_stops(session_ids: Iterable[UUID], user_id: int, address: str | None, reason: str) -> None:
    """Somebody of the team asked for the end of other people's sessions. The caller holds their rows locked."""
    asked = Entry(STOP_ASKED, {"by": user_id, "from": address, "reason": reason})
    events.append_each(dict.fromkeys(session_ids, asked))
