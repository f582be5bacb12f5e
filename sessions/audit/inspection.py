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
from sessions.timeline import page_clock
from sessions.timeline.moments import PROVIDER, Moment
from sessions.timeline.page_clock import PAGE_AT
from sessions.timeline.timeline import Timeline
from sessions.timeline.timeline import build as build_timeline

MAX_ANALYSED_EVENTS = 5000
"""Events that the timeline, its measures and its gaps are computed from: the first of the record."""
EVENTS_PER_PAGE = 500
CUT_OFF_WORDS = 3
"""Words that are shown of where a line was cut off."""
OPENED, STOP_ASKED = EventKind.TRANSCRIPT_OPENED, EventKind.STOP_ASKED
STAFF_ACTION_KINDS = (
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
class StaffAction:
    """Somebody with power over sessions did something to this one."""

    kind: str
    at: datetime
    who: str
    address: str
    reason: str


@dataclass(frozen=True)
class EventsPage:
    """A part of what happened. Events beyond MAX_ANALYSED_EVENTS follow the timeline, in the order of the record."""

    moments: Sequence[Moment]
    number: int
    pages: int
    total: int
    """Events of the whole record."""

    @property
    def has_more_than_analysed(self) -> bool:
        return self.total > MAX_ANALYSED_EVENTS


def events_page(session: StreamingSession, timeline: Timeline, total: int, number: int) -> EventsPage:
    """Return one page of what happened; a number that there is none of gives the nearest.

    `total` is the number of the record's last event.
    """
    timeline_pages = max(1, ceil(len(timeline.moments) / EVENTS_PER_PAGE))
    pages = timeline_pages + ceil(max(0, total - MAX_ANALYSED_EVENTS) / EVENTS_PER_PAGE)
    number = min(max(number, 1), pages)
    if number <= timeline_pages:
        start = (number - 1) * EVENTS_PER_PAGE
        return EventsPage(timeline.moments[start : start + EVENTS_PER_PAGE], number, pages, total)
    start = MAX_ANALYSED_EVENTS + (number - timeline_pages - 1) * EVENTS_PER_PAGE
    rest = SessionEvent.objects.filter(session=session).order_by("number")[start : start + EVENTS_PER_PAGE]
    return EventsPage([_moment(event) for event in rest], number, pages, total)


def timeline_of(session: StreamingSession) -> Timeline:
    """Return what is known of a session on one clock, up to MAX_ANALYSED_EVENTS events; no speech."""
    return build_timeline(_moments(session), session.created_at)


def _moment(event: SessionEvent) -> Moment:
    page_at = _parse_time(event.data.get(PAGE_AT))
    return Moment(event.at, event.source, event.kind, event.data, page_at, event.number)


def _moments(session: StreamingSession) -> Iterator[Moment]:
    for event in SessionEvent.objects.filter(session=session).order_by("number")[:MAX_ANALYSED_EVENTS]:
        yield _moment(event)
    for task in SessionTask.objects.filter(session=session).defer("sealed"):
        yield ledger.task_moment(task)
    for line in Utterance.objects.filter(session=session, source=SessionEvent.Source.PROVIDER).defer("sealed"):
        yield Moment(line.at, PROVIDER, ADDED, {"who": line.who})


def _parse_time(told: Any) -> datetime | None:
    """Return a moment that is stored in an event; None for one that cannot be shown in every time zone."""
    try:
        moment = datetime.fromisoformat(told)
        return moment if moment.tzinfo and page_clock.EARLIEST <= moment <= page_clock.LATEST else None
    except (TypeError, ValueError, OverflowError):
        return None


def lines_of(session: StreamingSession, *, is_open: bool) -> list[Line]:
    """Return the transcript, with its words only where it is open; what was erased has none."""
    rows = vouching.for_reading(list(Utterance.objects.filter(session=session)))
    return [_line(row, is_open) for row in rows]


def _line(row: Utterance, is_open: bool) -> Line:
    text = row.shown
    heard = vars(row).get("heard", text)
    cut_at = " ".join(heard.split()[-CUT_OFF_WORDS:]) if row.is_interrupted and is_open else ""
    return Line(
        row.who, row.by, row.kind, row.source, row.at, row.is_interrupted, len(text), row.standing, row.is_unreported,
        text if is_open else "", cut_at,
    )  # fmt: skip


def staff_actions(session: StreamingSession) -> list[StaffAction]:
    """Return who did what to a session, the first first."""
    rows = list(SessionEvent.objects.filter(session=session, kind__in=STAFF_ACTION_KINDS).order_by("number"))
    people = get_user_model().objects.in_bulk([who for row in rows if (who := _by(row))])
    return [_staff_action(row, people) for row in rows]


def _staff_action(row: SessionEvent, people: Mapping[Any, Any]) -> StaffAction:
    data = row.data
    return StaffAction(
        row.kind, row.at, str(people.get(_by(row), "–")), str(data.get("from") or ""), str(data.get("reason") or "")
    )


def _by(row: SessionEvent) -> Any:
    return row.data.get("by") or row.data.get("user")


def record_opening(session_id: UUID, user_id: int, address: str | None, reason: str) -> None:
    """Whoever reads what was said has said why."""
    events.record(session_id, Entry(OPENED, {"by": user_id, "from": address, "reason": reason}))


def record_stops(session_ids: Iterable[UUID], user_id: int, address: str | None, reason: str) -> None:
    """Somebody of the team asked for the end of other people's sessions. The caller holds their rows locked."""
    asked = Entry(STOP_ASKED, {"by": user_id, "from": address, "reason": reason})
    events.append_each(dict.fromkeys(session_ids, asked))
