"""What is recorded of a session: `SessionEvent` rows, each chained to the one before it."""

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
from django.utils import timezone

from heygen_portal.trail import hash_chain
from sessions.lifecycle import broadcast, coverage, event_sql
from sessions.lifecycle.event_kinds import EventKind
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
    """One event to record. `at` is now unless somebody saw it earlier."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    source: Source = Source.PORTAL
    at: datetime | None = None


def task_entry(task: SessionTask) -> Entry:
    """Return what is recorded of a text once it is known what became of it: not its words, but what proves them."""
    said = {"task": task.pk, "kind": task.kind, "status": task.status, "speech": task.fingerprint}
    line = vars(task).get("line") or line_of(task)
    stated = coverage.state(coverage.TASK, task), *([coverage.state(coverage.LINE, line)] if line else [])
    return Entry(EventKind.TASK, said | coverage.together(*stated))


def line_of(task: SessionTask) -> Utterance | None:
    """Return the line of the transcript that was stored together with a person's text."""
    if task.sent_by_id is None:
        return None  # the greeting has none
    lines = Utterance.objects.filter(session_id=task.session_id, at=task.created_at, source=Source.PORTAL)
    return lines.filter(by=Utterance.By.TEXT, kind=task.kind).order_by("pk").first()


def record(session_id: UUID, *entries: Entry) -> None:
    """Append events to the session's record, each chained to the one before it."""
    if len(entries) == 1 and _append_alone(session_id, entries[0]):
        return
    with transaction.atomic(savepoint=False):
        # Two appends at once would both follow the same row.
        session = StreamingSession.objects.select_for_update().only("status").get(pk=session_id)
        append(session_id, *entries, is_over=session.status == Status.ENDED)


_appended_last: dict[UUID, tuple[int, str]] = {}
"""Number and hash of what this process has appended last to sessions: mostly nobody has appended since.

A guess, which the database refuses when it is wrong. It needs no signature: it was never in the database's hands.
"""
MOST_GUESSES = 10_000


def _append_alone(session_id: UUID, entry: Entry) -> bool:
    """Append one event in one statement, which is the whole change, or two; return whether it worked.

    It does not for the first event, after the end, when somebody else has appended between the two, or when the
    record's end is not signed.
    """
    guess = _appended_last.pop(session_id, None)
    if guess and _insert_next(session_id, *guess, entry):
        return True
    end = event_sql.newest(session_id)
    return end.is_own and _insert_next(session_id, end.number, end.hash, entry)


def _insert_next(session_id: UUID, number: int, last_hash: str, entry: Entry) -> bool:
    row = _following(session_id, number, last_hash, entry)
    if not event_sql.insert_next(row, SessionHead.sign(session_id, row.number, row.hash)):
        return False
    if len(_appended_last) >= MOST_GUESSES:
        _appended_last.clear()
    _appended_last[session_id] = row.number, row.hash
    broadcast.tell_board([entry.kind])
    return True


def begin(session_id: UUID, *entries: Entry) -> None:
    """Record the first events of a session, for the caller that has just made its row."""
    rows = _chained(session_id, 0, "", entries)
    _store(rows, rows[-1:], are_over=False)
    broadcast.tell_board(entry.kind for entry in entries)


def append(session_id: UUID, *entries: Entry, is_over: bool = False) -> None:
    """Do what `record` does, for a caller that holds the session's row locked.

    The record of a session that is over, or that these entries end, is sealed anew.
    """
    end = event_sql.newest(session_id)
    rows = _chained(session_id, end.number, end.hash, entries, is_sealed=is_over)
    _store(rows, rows[-1:], are_over=is_over)
    broadcast.tell_board(entry.kind for entry in entries)


def _chained(
    session_id: UUID, number: int, last_hash: str, entries: Sequence[Entry], *, is_sealed: bool = False
) -> list[SessionEvent]:
    rows: list[SessionEvent] = []
    for entry in entries:
        is_last = len(rows) == len(entries) - 1
        rows.append(_following(session_id, number, last_hash, entry, is_sealed=is_sealed and is_last))
        number, last_hash = rows[-1].number, rows[-1].hash
    return rows


def append_each(entries: Mapping[UUID, Entry], *, are_over: bool = False) -> None:
    """Do what `append` does, for one entry of each of many sessions, in a few statements."""
    stored = SessionEvent.objects.filter(session=OuterRef("pk")).order_by("-number")
    last = ("head__number", "head__hash", "head__signature", Subquery(stored.values("number")[:1]))
    found = StreamingSession.objects.filter(pk__in=entries).order_by().values_list("pk", *last)
    ends = {pk: event_sql.End.of(pk, tuple(head), stored) for pk, *head, stored in found}
    rows = [_following(pk, end.number, end.hash, entries[pk], is_sealed=are_over) for pk, end in ends.items()]
    _store(rows, rows, are_over=are_over)


def _store(rows: Sequence[SessionEvent], last: Sequence[SessionEvent], *, are_over: bool) -> None:
    """Store events of sessions that are locked, and of each session's last one where its record ends now."""
    SessionEvent.objects.bulk_create(rows)
    heads = [SessionHead.of(row) for row in last]
    SessionHead.objects.bulk_create(
        heads, update_conflicts=True, unique_fields=["session"], update_fields=["number", "hash", "signature"]
    )
    if are_over:
        SessionSeal.objects.bulk_create([SessionSeal.of(row) for row in last])


def _following(session_id: UUID, number: int, last_hash: str, entry: Entry, *, is_sealed: bool = False) -> SessionEvent:
    """Return the event that follows the one of this number and hash. One that is sealed says so."""
    data = dict(entry.data)
    if is_sealed:
        data[coverage.ROWS] = {**data.get(coverage.ROWS, {}), coverage.SEAL: {str(number + 1): {}}}
    row = SessionEvent(
        session_id=session_id,
        number=number + 1,
        source=entry.source,
        kind=entry.kind,
        data=hash_chain.storable(data),
        at=entry.at or timezone.now(),
        previous_hash=last_hash,
    )
    at, text = row.at.isoformat(), hash_chain.canonical(row.data)
    row.prints = hash_chain.checksums(str(row.source), row.kind, text, at)
    row.hash = _digest(last_hash, str(session_id), row.number, str(row.source), row.kind, text, at, row.prints)
    return row


def digest(event: SessionEvent) -> str:
    """Return the SHA-256 over everything the row says, the row before it included (hexadecimal)."""
    said = (str(event.source), event.kind, event.data, event.at.isoformat(), event.prints)
    return digest_of(event.previous_hash, str(event.session_id), event.number, *said)


def digest_of(
    previous_hash: str, session_id: str, number: int, source: str, kind: str, data: Any, at: str, prints: str = ""
) -> str:
    """Do what `digest` does, for values without a row: verifying reads millions."""
    return _digest(previous_hash, session_id, number, source, kind, hash_chain.canonical(data), at, prints)


def _digest(
    previous_hash: str, session_id: str, number: int, source: str, kind: str, data: str, at: str, prints: str
) -> str:
    """The canonical JSON of a list of all of it, put together by hand: every event pays for it.

    Events from before checksums were kept have none in the list.
    """
    said = (
        f"[{_quoted(previous_hash)},{_quoted(session_id)},{number},{_quoted(source)},{_quoted(kind)},{data},"
        f"{_quoted(at)}{',' + _quoted(prints) if prints else ''}]"
    )
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


_quoted = json.encoder.encode_basestring
