"""Append to a session's record: `SessionEvent` rows, each chained to the last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import OuterRef, Subquery

from heygen_portal.postgresql import clock
from heygen_portal.runtime import metrics
from heygen_portal.trail import hash_chain, statements
from sessions.lifecycle import broadcast, coverage, event_sql
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.insert_sql import RowUpdate
from sessions.models import (
    SessionEvent,
    SessionHead,
    SessionSeal,
    SessionTask,
    Status,
    StreamingSession,
    Utterance,
)

Source = SessionEvent.Source


@dataclass(frozen=True)
class Entry:
    """One event to record. `at` defaults to the time of recording."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    source: Source = Source.PORTAL
    at: datetime | None = None


def task_entry(task: SessionTask) -> Entry:
    """Return the event for a task whose outcome is known.

    It contains a fingerprint of the text, not the text.
    """
    details = {"task": task.pk, "kind": task.kind, "status": task.status, "speech": task.fingerprint}
    line = vars(task).get("line") or line_of(task)
    stated = statements.state(coverage.TASK, task), *([statements.state(coverage.LINE, line)] if line else [])
    return Entry(EventKind.TASK, details | statements.merged(*stated))


def line_of(task: SessionTask) -> Utterance | None:
    """Return the transcript line stored with a user's task; None for a greeting or a sentence of an answer."""
    if task.is_greeting or task.is_of_answer:
        return None
    lines = Utterance.objects.filter(session_id=task.session_id, at=task.created_at, kind=task.kind)
    return lines.filter(source__in=(Source.PORTAL, Source.PROVIDER)).order_by("pk").first()


def record(session_id: UUID, *entries: Entry) -> None:
    """Append events to the session's record. Locks the session's row."""
    if len(entries) == 1 and _append_single(session_id, entries[0]):
        return
    with transaction.atomic(savepoint=False):
        # Without the lock, two concurrent appends would both follow the same event.
        session = StreamingSession.objects.select_for_update().only("status").get(pk=session_id)
        append(session_id, *entries, is_over=session.status == Status.ENDED)


def record_with(session_id: UUID, entry: Entry, update: RowUpdate) -> None:
    """Append an event and update a row of the session: both or neither.

    Raises DatabaseError if the row is not there.
    """
    guess = _last_appended.pop(session_id, None)
    if guess and _insert_next(session_id, *guess, entry, update):
        return
    with transaction.atomic():
        update.store()
        record(session_id, entry)


# Number and hash of the last event that this process appended to each session. It is usually still the newest one. A
# wrong guess is rejected by the database. It needs no signature, because it never was in the database.
_last_appended: dict[UUID, tuple[int, str]] = {}
MAX_GUESSES = 10_000


def _append_single(session_id: UUID, entry: Entry) -> bool:
    """Append one event in one or two statements.

    Return False if nothing was appended.

    That is so for a session's first event, after its end, if another process appended in between, or if the head of
    the record is not signed.
    """
    guess = _last_appended.pop(session_id, None)
    if guess and _insert_next(session_id, *guess, entry):
        return True
    end = event_sql.record_end(session_id)
    return end.is_signed and _insert_next(session_id, end.number, end.hash, entry)


def _insert_next(session_id: UUID, number: int, last_hash: str, entry: Entry, update: RowUpdate | None = None) -> bool:
    row = _next_event(session_id, number, last_hash, entry)
    if not event_sql.insert_next(row, SessionHead.sign(session_id, row.number, row.hash), update):
        return False
    if len(_last_appended) >= MAX_GUESSES:
        _last_appended.clear()
    _last_appended[session_id] = row.number, row.hash
    _count([row])
    broadcast.notify_board([entry.kind])
    return True


def begin(session_id: UUID, *entries: Entry) -> None:
    """Record the first events of a session.

    The caller has created its row in this transaction.
    """
    rows = _chained(session_id, 0, "", entries)
    _store(rows, rows[-1:], are_over=False)
    broadcast.notify_board(entry.kind for entry in entries)


def append(session_id: UUID, *entries: Entry, is_over: bool = False) -> None:
    """Append events to the record of a session whose row the caller has locked.

    `is_over`: the session has ended, or ends with these entries. Its record is then sealed again.
    """
    end = event_sql.record_end(session_id)
    rows = _chained(session_id, end.number, end.hash, entries, is_sealed=is_over)
    _store(rows, rows[-1:], are_over=is_over)
    broadcast.notify_board(entry.kind for entry in entries)


def _chained(
    session_id: UUID, number: int, last_hash: str, entries: Sequence[Entry], *, is_sealed: bool = False
) -> list[SessionEvent]:
    rows: list[SessionEvent] = []
    for entry in entries:
        is_last = len(rows) == len(entries) - 1
        rows.append(_next_event(session_id, number, last_hash, entry, is_sealed=is_sealed and is_last))
        number, last_hash = rows[-1].number, rows[-1].hash
    return rows


def append_each(entries: Mapping[UUID, Entry], *, are_over: bool = False) -> None:
    """Append one entry to each of many locked sessions, in a few statements."""
    stored = SessionEvent.objects.filter(session=OuterRef("pk")).order_by("-number")
    last = ("head__number", "head__hash", "head__signature", Subquery(stored.values("number")[:1]))
    found = StreamingSession.objects.filter(pk__in=entries).order_by().values_list("pk", *last)
    ends = {pk: event_sql.RecordEnd.of(pk, tuple(head), stored) for pk, *head, stored in found}
    rows = [_next_event(pk, end.number, end.hash, entries[pk], is_sealed=are_over) for pk, end in ends.items()]
    _store(rows, rows, are_over=are_over)


def _store(rows: Sequence[SessionEvent], last: Sequence[SessionEvent], *, are_over: bool) -> None:
    """Store events of locked sessions, and the heads of their records.

    `last` are the events that end a record; if `are_over`, each gets a seal, too.
    """
    SessionEvent.objects.bulk_create(rows)
    heads = [SessionHead.of(row) for row in last]
    SessionHead.objects.bulk_create(
        heads, update_conflicts=True, unique_fields=["session"], update_fields=["number", "hash", "signature"]
    )
    if are_over:
        SessionSeal.objects.bulk_create([SessionSeal.of(row) for row in last])
    _count(rows)


def _count(rows: Sequence[SessionEvent]) -> None:
    for row in rows:
        metrics.events.labels(row.kind if row.kind in _KINDS else "other").inc()


_KINDS = frozenset(map(str, EventKind))


def _next_event(
    session_id: UUID, number: int, last_hash: str, entry: Entry, *, is_sealed: bool = False
) -> SessionEvent:
    """Return the event after the one with this number and hash.

    A sealed one states so in its data.
    """
    data = dict(entry.data)
    if is_sealed:
        data[statements.ROWS] = {**data.get(statements.ROWS, {}), coverage.SEAL: {str(number + 1): {}}}
    row = SessionEvent(
        session_id=session_id,
        number=number + 1,
        source=entry.source,
        kind=entry.kind,
        data=hash_chain.storable(data),
        at=entry.at or clock.now(),
        previous_hash=last_hash,
    )
    at, text = row.at.isoformat(), hash_chain.canonical(row.data)
    row.prints = hash_chain.checksums(str(row.source), row.kind, text, at)
    row.hash = _digest(last_hash, str(session_id), row.number, str(row.source), row.kind, text, at, row.prints)
    return row


def digest(event: SessionEvent) -> str:
    """Return the SHA-256 (hexadecimal) of the event.

    It includes the hash of the event before it.
    """
    fields = (str(event.source), event.kind, event.data, event.at.isoformat(), event.prints)
    return digest_of(event.previous_hash, str(event.session_id), event.number, *fields)


def digest_of(
    previous_hash: str, session_id: str, number: int, source: str, kind: str, data: Any, at: str, prints: str = ""
) -> str:
    """Return the same as `digest` from plain values.

    Verification uses it, because it reads millions of events.
    """
    return _digest(previous_hash, session_id, number, source, kind, hash_chain.canonical(data), at, prints)


def _digest(
    previous_hash: str, session_id: str, number: int, source: str, kind: str, data: str, at: str, prints: str
) -> str:
    """Hash the canonical JSON of a list of all values.

    It is built by hand because it runs for every event. Events recorded before checksums were introduced have none
    in the list.
    """
    text = (
        f"[{_quoted(previous_hash)},{_quoted(session_id)},{number},{_quoted(source)},{_quoted(kind)},{data},"
        f"{_quoted(at)}{',' + _quoted(prints) if prints else ''}]"
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_quoted = json.encoder.encode_basestring
