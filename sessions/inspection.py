"""What an auditor is shown of one session, and the entry that each look leaves behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model

from sessions import events, ledger, timeline
from sessions.events import Entry
from sessions.models import SessionEvent, SessionTask, StreamingSession, Utterance
from sessions.moments import PROVIDER, Moment
from sessions.reports import PAGE_AT
from sessions.timeline import Timeline

MOST_EVENTS = 5000
"""Events that one page shows; an export has all."""
LAST_WORDS = 3
"""Words that are shown of where a line was cut off."""
OPENED, STOP_ASKED = "transcript_opened", "stop_asked"
LOOKS = (OPENED, STOP_ASKED, "observed", "exported", "held", "hold_released", "speech_erased")
"""Kinds of what people with power over sessions did to this one."""
ADDED = "line_added"
"""A line that only the provider heard: a row of the transcript, not an event of the record."""


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


def timeline_of(session: StreamingSession) -> Timeline:
    """Return all that is known of a session on one clock; no speech."""
    return timeline.build(_moments(session), session.created_at)


def _moments(session: StreamingSession) -> Iterator[Moment]:
    for event in SessionEvent.objects.filter(session=session).order_by("number")[:MOST_EVENTS]:
        page_at = _as_moment(event.data.get(PAGE_AT))
        yield Moment(event.at, event.source, event.kind, event.data, page_at, event.number)
    for task in SessionTask.objects.filter(session=session).defer("sealed"):
        yield ledger.moment_of(task)
    for line in Utterance.objects.filter(session=session, source=SessionEvent.Source.PROVIDER).defer("sealed"):
        yield Moment(line.at, PROVIDER, ADDED, {"who": line.who})


def _as_moment(told: Any) -> datetime | None:
    return datetime.fromisoformat(told) if isinstance(told, str) else None


def lines_of(session: StreamingSession, *, is_open: bool) -> list[Line]:
    """Return the transcript, with its words only where it is open; what was erased has none."""
    return [_line(row, is_open) for row in Utterance.objects.filter(session=session)]


def _line(row: Utterance, is_open: bool) -> Line:
    said = row.text
    shown = said if is_open else ""
    cut_at = " ".join(shown.split()[-LAST_WORDS:]) if row.is_interrupted else ""
    return Line(row.who, row.by, row.kind, row.source, row.at, row.is_interrupted, len(said), shown, cut_at)


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
