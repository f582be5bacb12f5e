"""Upgrade of records of earlier versions.

Events state the rows as they are now, so that every column is covered.

No row is hashed or sealed again. Changes before the upgrade are detected as far as the earlier version detected them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import transaction

from heygen_portal.trail import statements
from heygen_portal.trail.statements import ROWS
from sessions.integrity import audit_statements
from sessions.integrity.scope import BATCH_ROWS
from sessions.integrity.verification import UPGRADED, faults_of, rows_of
from sessions.lifecycle import coverage, events
from sessions.lifecycle.coverage import LINE, SESSION, SESSION_TABLES, TASK
from sessions.lifecycle.events import Entry
from sessions.models import SessionTask, Status, StreamingSession
from sessions.speech import word_coverage

# Columns of a session that records of format `FORMAT_WITH_ALL_ROWS` do not state.
COLUMNS_SINCE_WHOLE_ROWS = ("conversation", "record_format")
# Rows stated by one event.
ROWS_PER_EVENT = 200


@dataclass
class UpgradeResult:
    sessions: int = 0
    remaining: int = 0
    # Sessions whose record has faults; they are left unchanged.
    faulty: list[UUID] = field(default_factory=list)
    # False if the audit log, or a row that it states, has faults; its rows are left unchanged.
    is_audit_log_intact: bool = True


def upgrade(seconds: float | None = None) -> UpgradeResult:
    """Upgrade sessions of an earlier format for at most `seconds`.

    Each is one transaction. Idempotent.
    """
    done, give_up_at = UpgradeResult(), time.monotonic() + (seconds if seconds is not None else float("inf"))
    older = StreamingSession.objects.filter(record_format__lt=coverage.FORMAT).order_by("pk")
    last: UUID | None = None
    while time.monotonic() < give_up_at:
        rows = older.filter(pk__gt=last) if last else older
        last = rows.values_list("pk", flat=True).first()
        if last is None:
            break
        if _upgrade_session(last):
            done.sessions += 1
        else:
            done.faulty.append(last)
    done.remaining = older.count()
    done.is_audit_log_intact = audit_statements.upgrade()
    word_coverage.state_signed_lines()
    return done


def _upgrade_session(session_id: UUID) -> bool:
    """State a session's rows; return False if its record has faults.

    A session with faults is left unchanged.
    """
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().only("status", "record_format").get(pk=session_id)
        if session.record_format >= coverage.FORMAT:
            return True
        if faults_of(session_id):
            return False
        old_format = session.record_format
        StreamingSession.objects.filter(pk=session_id).update(record_format=coverage.FORMAT)
        stated = _missing_statements(session_id, old_format, is_over=session.status == Status.ENDED)
        while part := list(islice(stated, ROWS_PER_EVENT)):
            values = {"format": coverage.FORMAT} | statements.merged(*part)
            events.append(session_id, Entry(UPGRADED, values), is_over=session.status == Status.ENDED)
    return True


def _missing_statements(session_id: UUID, old_format: int, *, is_over: bool) -> Iterator[dict[str, Any]]:
    """Yield statements about columns that a record of `old_format` lacks.

    A text that is being sent is stated once its outcome is known.
    """
    for row in SESSION.stored(StreamingSession.objects.filter(pk=session_id)):
        values = SESSION.read(row)
        names = values.keys() if old_format < coverage.FORMAT_WITH_ALL_ROWS else COLUMNS_SINCE_WHOLE_ROWS
        yield _statement(SESSION, "", {name: values[name] for name in names if is_over or name not in SESSION.late})
    sending: set[Any] = set()
    for table in (table for table in SESSION_TABLES if old_format < table.since):
        for row in rows_of(table, session_id).iterator(chunk_size=BATCH_ROWS):
            values = table.read(row)
            if table is TASK and values["status"] == SessionTask.Status.SENDING:
                sending.add(values["created_at"])
            elif not (table is LINE and values["by"] == "text" and values["at"] in sending):
                yield _statement(table, table.key(row[1]), values)


def _statement(table: statements.Table, key: str, values: dict[str, Any]) -> dict[str, Any]:
    return {ROWS: {table.name: {key: values}}}
