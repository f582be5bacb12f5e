"""Exports of one session: JSON, a page to print, captions.

docs/schemas/session-record.schema.json describes the JSON. Texts are included only if a reason was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db.models import Q
from django.utils import timezone

from heygen_portal.branding.current import current
from heygen_portal.people.preferences import time_zones
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text import bidi, graphemes
from sessions.actions import queries
from sessions.capacity import consent
from sessions.exports import formats, list_export
from sessions.exports.formats import Caption, json_value, to_json
from sessions.lifecycle import end_evidence, line_standing
from sessions.models import Export, SessionEvent, SessionTask, StreamingSession, Utterance

SCHEMA = "urn:heygen-portal:session-record:1"
EVENTS_PER_PIECE = 1000
# On the page to print; the JSON contains all events.
MAX_PRINTED_EVENTS = 5000
# On the page to print; a line may have 10,000 characters. The JSON and the captions contain all lines.
MAX_PRINTED_LINES = 1000

SESSION_FIELDS = (
    "id", "provider_session_id", "persona_version", "persona_settings", "status", "end_reason", "end_evidence",
    "limit_by", "idle_limit_by", "is_paid", "provider_duration_limit", "conversation_id", "continues_id",
    "created_at", "opened_at", "live_at", "ends_at", "stop_requested_at", "ended_at", "duration",
)  # fmt: skip
CONSENT_FIELDS = ("session_id", "version", "language", "fingerprint", "text", "accepted_at", "withdrawn_at")
EVENT_FIELDS = ("number", "source", "kind", "data", "at", "previous_hash", "hash")
TASK_FIELDS = ("kind", "status", "failure", "provider_task_id", "created_at", "latency")
LINE_FIELDS = ("who", "by", "kind", "is_interrupted", "interruption", "source", "standing", "provider_task_id", "at")


def as_json(export: Export, session: StreamingSession) -> Iterator[bytes]:
    """Yield the record in pieces, in bounded memory, and mark the export as sent."""
    has_text, count = bool(export.reason), 0
    header = {
        "schema": SCHEMA,
        "export": _export_data(export),
        "session": _session(session),
    }
    yield f'{to_json(header)[:-1]},"tasks":'.encode()
    yield from _json_list(_task(task, has_text) for task in _tasks(session))
    yield b',"lines":'
    yield from _json_list(_line(line, has_text) for line in _lines(session))
    yield b',"events":['
    for page in _events(session):
        yield ("," if count else "").encode() + ",".join(to_json(_fields(row, EVENT_FIELDS)) for row in page).encode()
        count += len(page)
        export.rows_done = count
    yield b"]}\n"
    list_export.mark_sent(export, count)


def _json_list(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    rows = iter(rows)
    before = "["
    while part := list(islice(rows, queries.LINES_PER_BATCH)):
        yield (before + ",".join(to_json(row) for row in part)).encode()
        before = ","
    yield b"]" if before == "," else b"[]"


def _tasks(session: StreamingSession) -> Iterator[SessionTask]:
    """Yield the tasks in order, reading a few at a time."""
    tasks = session.tasks.select_related("sent_by").order_by("created_at", "pk")
    part: list[SessionTask] = []
    while part := list((tasks.filter(_later_than(part[-1])) if part else tasks)[: queries.LINES_PER_BATCH]):
        yield from part


def _later_than(task: SessionTask) -> Q:
    return Q(created_at__gt=task.created_at) | Q(created_at=task.created_at, pk__gt=task.pk)


def _lines(session: StreamingSession) -> Iterator[Utterance]:
    """Yield all stored lines in order, reading a few at a time."""
    for part in queries.in_batches(Utterance.objects.filter(session=session)):
        yield from line_standing.set_standing(part)


def _events(session: StreamingSession) -> Iterator[list[SessionEvent]]:
    last = 0
    while page := list(session.events.filter(number__gt=last).order_by("number")[:EVENTS_PER_PIECE]):
        yield page
        last = page[-1].number


def as_captions(session: StreamingSession) -> Iterator[bytes]:
    """Return the transcript as WebVTT in pieces, with times since the first frame.

    The title has the reader's zone. It is read here, since the pieces may be made in another thread.
    """
    names: dict[str, str] = {
        Utterance.Who.AVATAR: session.persona.name,
        Utterance.Who.USER: session.owner_name,
    }
    captions = (
        Caption(
            line.at,
            names.get(line.who) or stored_json.label(line.who),
            line.shown,
            "; ".join(line_standing.notes(line)),
        )
        for part in queries.transcript_batches(session.pk)
        for line in part
    )
    began_at = session.live_at or session.created_at
    zone = timezone.get_current_timezone()
    began = f"{began_at.astimezone(zone).isoformat()} ({time_zones.label(zone)})"
    pieces = formats.captions(captions, began_at, f"{bidi.isolated(session.persona.name)}, {began}", current().own_name)
    return _encoded(pieces)


def _encoded(pieces: Iterator[str]) -> Iterator[bytes]:
    while some := "".join(islice(pieces, queries.LINES_PER_BATCH)):
        yield some.encode()


def print_context(export: Export, session: StreamingSession) -> dict[str, Any]:
    """Return the template context of the page to print.

    Long lists are cut, with a count of what is left out.
    """
    stored = queries.lines_to_read(session.pk)
    lines = queries.with_standing(stored[:MAX_PRINTED_LINES])
    return {
        "export": export,
        "session": session,
        "lines": lines,
        "lines_left_out": max(0, stored.count() - MAX_PRINTED_LINES),
        "has_reported": any(line.standing == line_standing.Standing.BROWSER for line in lines),
        "events": session.events.order_by("number")[:MAX_PRINTED_EVENTS],
        "left_out": max(0, session.events.count() - MAX_PRINTED_EVENTS),
        "consent": consent.of_session(session),
        "evidence": end_evidence.describe(session.end_evidence),
        "last_hash": session.events.order_by("-number").values_list("hash", flat=True).first() or "–",
        "printed_at": timezone.now(),
    }


def _export_data(export: Export) -> dict[str, Any]:
    who = export.asked_by.get_username()
    data = {"id": str(export.pk), "by": who, "at": json_value(export.asked_at), "reason": export.reason or None}
    return data | {"time_zone": "UTC", "portal": current().name}


def _session(session: StreamingSession) -> dict[str, Any]:
    who = {
        "user": session.user.get_username() if session.user else None,
        "guest": json_value(session.guest_id),
        "persona": session.persona.name,
        "account": session.account.name,
        "provider": session.account.kind,
    }
    accepted = consent.of_session(session)
    return _fields(session, SESSION_FIELDS) | who | {"consent": accepted and _fields(accepted, CONSENT_FIELDS)}


def _task(task: SessionTask, has_text: bool) -> dict[str, Any]:
    by = task.sent_by.get_username() if task.sent_by else None
    return _fields(task, TASK_FIELDS) | {"sent_by": by} | _text(task.shown, has_text)


def _line(line: Utterance, has_text: bool) -> dict[str, Any]:
    return _fields(line, LINE_FIELDS) | _text(line.shown, has_text)


def _text(text: str, has_text: bool) -> dict[str, Any]:
    """Return the length of a text, and the text itself if a reason was given."""
    return {"characters": graphemes.count(text), "text": text if has_text else None}


def _fields(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: json_value(getattr(row, name)) for name in names}
