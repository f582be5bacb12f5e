"""Records of earlier versions: an event states what their rows show now, from when on every column is covered.

No row is hashed or sealed again. What happened before the statement is proved as far as the earlier version proved it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import transaction

from sessions.integrity import audit_statements
from sessions.integrity.scope import BATCH
from sessions.integrity.verification import UPGRADED, faults_of, rows_of
from sessions.lifecycle import coverage, events
from sessions.lifecycle.coverage import BELOW, LINE, ROWS, SESSION, TASK
from sessions.lifecycle.events import Entry
from sessions.models import SessionTask, Status, StreamingSession

SINCE_WHOLE_ROWS = ("conversation", "record_format")
"""Columns of a session that records of format `WHOLE_ROWS` do not state as they are now."""
ROWS_EACH = 200
"""Rows that one event states."""


@dataclass
class Upgraded:
    """What an upgrade came to."""

    sessions: int = 0
    left: int = 0
    faulty: list[UUID] = field(default_factory=list)
    """Sessions whose record does not fit: they are left as they are."""
    are_lists_whole: bool = True
    """False if the audit's list, or a row that it states, does not fit: its rows are left as they are."""


def upgrade(seconds: float | None = None) -> Upgraded:
    """State what sessions of an earlier format show, for so long; each is one transaction. Safe to repeat."""
    done, give_up_at = Upgraded(), time.monotonic() + (seconds if seconds is not None else float("inf"))
    older = StreamingSession.objects.filter(record_format__lt=coverage.FORMAT).order_by("pk")
    last: UUID | None = None
    while time.monotonic() < give_up_at:
        rows = older.filter(pk__gt=last) if last else older
        last = rows.values_list("pk", flat=True).first()
        if last is None:
            break
        if _upgrade_one(last):
            done.sessions += 1
        else:
            done.faulty.append(last)
    done.left = older.count()
    done.are_lists_whole = audit_statements.upgrade()
    return done


def _upgrade_one(session_id: UUID) -> bool:
    """State a session's rows; return False for one whose record does not fit."""
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().only("status", "record_format").get(pk=session_id)
        if session.record_format >= coverage.FORMAT:
            return True
        if faults_of(session_id):
            return False
        was = session.record_format
        StreamingSession.objects.filter(pk=session_id).update(record_format=coverage.FORMAT)
        stated = _stated(session_id, was, is_over=session.status == Status.ENDED)
        while part := list(islice(stated, ROWS_EACH)):
            said = {"format": coverage.FORMAT} | coverage.together(*part)
            events.append(session_id, Entry(UPGRADED, said), is_over=session.status == Status.ENDED)
    return True


def _stated(session_id: UUID, was: int, *, is_over: bool) -> Iterator[dict[str, Any]]:
    """Yield what is to be stated of each row that a record of format `was` does not state.

    A text that is being sent is stated once its outcome is known.
    """
    for row in SESSION.stored(StreamingSession.objects.filter(pk=session_id)):
        said = SESSION.read(row)
        names = said.keys() if was < coverage.WHOLE_ROWS else SINCE_WHOLE_ROWS
        yield _of(SESSION, "", {name: said[name] for name in names if is_over or name not in SESSION.late})
    sending: set[Any] = set()
    for table in (table for table in BELOW if was < table.since):
        for row in rows_of(table, session_id).iterator(chunk_size=BATCH):
            said = table.read(row)
            if table is TASK and said["status"] == SessionTask.Status.SENDING:
                sending.add(said["created_at"])
            elif not (table is LINE and said["by"] == "text" and said["at"] in sending):
                yield _of(table, table.key(row[1]), said)


def _of(table: coverage.Table, key: str, said: dict[str, Any]) -> dict[str, Any]:
    return {ROWS: {table.name: {key: said}}}
