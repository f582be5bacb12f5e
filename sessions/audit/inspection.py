"""The data of the auditor's page, and the events that record its use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model

from avatars.models import Chunk
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.stored_json import DamagedObject
from heygen_portal.runtime.text import graphemes
from sessions.brain.record import sentences_of
from sessions.brain.tools import tool_events
from sessions.brain.tools.tool_events import RecordedCall
from sessions.costs import ledger
from sessions.lifecycle import events, line_standing
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import Answer, SessionEvent, SessionTask, StreamingSession, Utterance
from sessions.timeline.moments import PROVIDER, Moment
from sessions.timeline.page_clock import PAGE_AT
from sessions.timeline.timeline import Timeline
from sessions.timeline.timeline import build as build_timeline

# The timeline and its figures are computed from the first events of the record.
MAX_ANALYSED_EVENTS = 5000
EVENTS_PER_PAGE = 500
MAX_ANSWERS = 200
# The last words heard of an interrupted line.
CUT_OFF_WORDS = 3
OPENED, STOP_ASKED = EventKind.TRANSCRIPT_OPENED, EventKind.STOP_ASKED
# Kinds of events that record what staff did to a session.
STAFF_ACTION_KINDS = (
    OPENED,
    STOP_ASKED,
    EventKind.OBSERVED,
    EventKind.EXPORTED,
    EventKind.HELD,
    EventKind.HOLD_RELEASED,
    EventKind.SPEECH_ERASED,
)
# A line of the provider's transcript. It is a row of its own, not an event of the record.
ADDED = EventKind.LINE_ADDED


@dataclass(frozen=True)
class Line:
    """One line of the transcript.

    `text` is empty unless a reason for reading was given.
    """

    who: str
    by: str
    kind: str
    source: str
    at: datetime
    # Value of `line_standing.Interruption`: who says that it was interrupted. Empty if it was not.
    interruption: str
    characters: int
    # Value of `line_standing.Standing`: where it comes from, and whether it is confirmed.
    standing: str
    # It is only in the provider's transcript.
    is_unreported: bool
    text: str = ""
    # The last words of an interrupted line that the browser says it heard.
    cut_at: str = ""


@dataclass(frozen=True)
class AnswerGiven:
    """An answer by the organisation's own model, and on what it rests."""

    row: Answer
    # Each sentence with the numbers of the passages that it cites, and whether it was spoken. Texts are empty unless a
    # reason for reading was given.
    sentences: Sequence[tuple[str, Sequence[int], bool]]
    calls: Sequence[RecordedCall] = ()
    # The passages in the prompt: document, key and fingerprint of each. The title is empty if the passage is gone.
    passages: Sequence[tuple[str, object, str]] = ()

    @property
    def tokens(self) -> int:
        return self.row.prompt_tokens + self.row.completion_tokens

    @property
    def unspoken(self) -> int:
        return sum(not is_spoken for _text, _citations, is_spoken in self.sentences)


@dataclass(frozen=True)
class StaffAction:
    """What a member of staff did to the session."""

    kind: str
    at: datetime
    who: str
    address: str
    reason: str


@dataclass(frozen=True)
class EventsPage:
    """One page of events.

    Events beyond MAX_ANALYSED_EVENTS follow the timeline, in the order of the record.
    """

    moments: Sequence[Moment]
    number: int
    pages: int
    # Events in the whole record.
    total: int

    @property
    def has_more_than_analysed(self) -> bool:
        return self.total > MAX_ANALYSED_EVENTS


def events_page(session: StreamingSession, timeline: Timeline, total: int, number: int) -> EventsPage:
    """Return one page of events. An invalid page number gives the nearest page.

    `total` is the number of events in the record.
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
    """Return a session's timeline without speech.

    It is built from up to MAX_ANALYSED_EVENTS events.
    """
    return build_timeline(_moments(session), session.created_at)


def _moment(event: SessionEvent) -> Moment:
    page_at = stored_json.moment(event.data, PAGE_AT)
    return Moment(event.at, event.source, event.kind, event.data, page_at, event.number)


def _moments(session: StreamingSession) -> Iterator[Moment]:
    for event in SessionEvent.objects.filter(session=session).order_by("number")[:MAX_ANALYSED_EVENTS]:
        yield _moment(event)
    for task in SessionTask.objects.filter(session=session).defer("sealed"):
        yield ledger.task_moment(task)
    for line in Utterance.objects.filter(session=session, source=SessionEvent.Source.PROVIDER).defer("sealed"):
        yield Moment(line.at, PROVIDER, ADDED, {"who": line.who})


def lines_of(session: StreamingSession, *, is_open: bool) -> list[Line]:
    """Return the transcript; its texts are empty unless it is open."""
    rows = line_standing.for_reading(list(Utterance.objects.filter(session=session)))
    return [_line(row, is_open) for row in rows]


def _line(row: Utterance, is_open: bool) -> Line:
    text = row.shown
    heard = vars(row).get("heard", text)
    cut_at = " ".join(heard.split()[-CUT_OFF_WORDS:]) if row.is_interrupted and is_open else ""
    return Line(
        row.who, row.by, row.kind, row.source, row.at, row.interruption, graphemes.count(text), row.standing,
        row.is_unreported, text if is_open else "", cut_at,
    )  # fmt: skip


def answers_of(session: StreamingSession, *, is_open: bool) -> list[AnswerGiven]:
    """Return the answers by the organisation's own model, up to MAX_ANSWERS. Up to five queries."""
    rows = list(Answer.objects.filter(session=session).order_by("created_at", "pk")[:MAX_ANSWERS])
    keys = [key for row in rows for key, _citations in sentences_of(row)]
    calls = tool_events.calls_of(session, is_open=is_open) if rows else {}
    texts = {task.pk: task.shown for task in SessionTask.objects.filter(pk__in=keys)} if is_open and keys else {}
    prompts = {row.pk: [each for each in row.passages if isinstance(each, dict)] for row in rows}
    keys_of_chunks = (stored_json.row_key(each, "chunk") for passages in prompts.values() for each in passages)
    chunks = Chunk.objects.filter(pk__in={key for key in keys_of_chunks if key})
    titles: dict[int | None, str] = dict(chunks.values_list("pk", "version__document__title"))

    def shown(passage: Mapping[str, Any]) -> tuple[str, object, str]:
        key = stored_json.row_key(passage, "chunk")
        return titles.get(key, ""), key, stored_json.text(passage, "fingerprint")

    return [
        AnswerGiven(
            row,
            [(texts.get(key, ""), cited, key not in row.unspoken) for key, cited in sentences_of(row)],
            calls.get(row.pk, ()),
            list(map(shown, prompts[row.pk])),
        )
        for row in rows
    ]


def staff_actions(session: StreamingSession) -> list[StaffAction]:
    """Return what staff did to a session, in order."""
    rows = list(SessionEvent.objects.filter(session=session, kind__in=STAFF_ACTION_KINDS).order_by("number"))
    people = get_user_model().objects.in_bulk([who for row in rows if (who := _by(row))])
    return [_staff_action(row, people) for row in rows]


def _staff_action(row: SessionEvent, people: Mapping[Any, Any]) -> StaffAction:
    data, by = row.data, _by(row)
    is_named = by is not None or not (data.get("by") or data.get("user") or isinstance(data, DamagedObject))
    who = str(people.get(by, "–")) if is_named else stored_json.label(data)
    return StaffAction(row.kind, row.at, who, stored_json.text(data, "from"), stored_json.text(data, "reason"))


def _by(row: SessionEvent) -> int | None:
    return stored_json.row_key(row.data, "by") or stored_json.row_key(row.data, "user")


def record_opening(session_id: UUID, user_id: int, address: str | None, reason: str) -> None:
    """Record who opened the transcript, and for what reason."""
    events.record(session_id, Entry(OPENED, {"by": user_id, "from": address, "reason": reason}))


def record_stops(session_ids: Iterable[UUID], user_id: int, address: str | None, reason: str) -> None:
    """Record who stopped other people's sessions, and for what reason.

    The caller has locked their rows.
    """
    asked = Entry(STOP_ASKED, {"by": user_id, "from": address, "reason": reason})
    events.append_each(dict.fromkeys(session_ids, asked))
