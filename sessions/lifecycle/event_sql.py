"""Handwritten SQL that appends one event, because it runs for nearly every event."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.db.models import Model

from sessions.lifecycle import insert_sql
from sessions.lifecycle.insert_sql import RowUpdate
from sessions.models import SessionEvent, SessionHead, Status, StreamingSession

EVENTS, HEADS, SESSIONS = (model._meta.db_table for model in (SessionEvent, SessionHead, StreamingSession))


class RecordEnd(NamedTuple):
    """Number and hash that the next event follows, and whether they are signed."""

    number: int
    hash: str
    is_signed: bool

    @classmethod
    def of(cls, session_id: UUID, head: tuple[Any, Any, Any], stored: int | None) -> RecordEnd:
        """Return the end of the record from its head and the highest event number.

        The head decides: the numbers of events that were cut off are not used again, which leaves a gap. If the
        head is missing or not signed by the portal, the next event skips a number, so that its own signature does
        not repair the head. No event can fill that gap without changing the hash of the next, so verification
        always finds it.
        """
        number, last_hash, signature = head
        is_signed = signature is not None and SessionHead.is_signed(str(signature), session_id, number, last_hash)
        last = max(number or 0, stored or 0)
        return cls(last if is_signed else last + 1, last_hash or "", is_signed)


def record_end(session_id: UUID) -> RecordEnd:
    """Return the end of a session's record."""
    key = StreamingSession._meta.pk.get_db_prep_value(session_id, connection)
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, [key, key])
        *head, stored = cursor.fetchone()
    return RecordEnd.of(session_id, tuple(head), stored)


def insert_next(event: SessionEvent, signature: str, update: RowUpdate | None = None) -> bool:
    """Store an event, move its session's head to it, and update a row of the session along with them.

    Return False if nothing was stored. `signature` is that of the new head. Nothing is stored for a first event,
    after the session's end, or if the event does not follow the newest one because another process appended or the
    database was changed. The session's row is locked first, so a caller that already holds the lock is not
    disturbed. Raises DatabaseError, and stores nothing, if the row to update is not there.
    """
    values = insert_sql.values(event)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            if update is None:
                cursor.execute(_append_statement(), [*values, signature])
            else:
                statement = _append_and_update_statement(type(update.row), update.statement)
                cursor.execute(statement, [*values, signature, update.row.pk, *update.parameters])
            row = cursor.fetchone()
            if row is None:
                raise DatabaseError(f"{update} is not stored")
            return bool(row[0])
    # SQLite has one writer at a time.
    key = values[0]
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        head = [event.number, event.hash, signature, key, event.number - 1, event.previous_hash]
        cursor.execute(_MOVE_HEAD, [*head, key, Status.ENDED, key, event.number])
        if cursor.rowcount:
            cursor.execute(insert_sql.statement(SessionEvent), values)
            if update:
                update.store()
            return True
    return False


# Returns one row, even if the session has no head.
_NEWEST = f"""
    SELECT head.number, head.hash, head.signature, (SELECT max(number) FROM {EVENTS} WHERE session_id = %s)
    FROM (SELECT 1 AS one) AS single LEFT JOIN {HEADS} AS head ON head.session_id = %s
"""

_MOVE_HEAD = f"""
    UPDATE {HEADS} SET number = %s, hash = %s, signature = %s WHERE session_id = %s AND number = %s AND hash = %s
    AND EXISTS (SELECT 1 FROM {SESSIONS} WHERE id = %s AND status <> %s)
    AND NOT EXISTS (SELECT 1 FROM {EVENTS} WHERE session_id = %s AND number >= %s)
"""

# For PostgreSQL, created by a migration. It plans its statements once per connection instead of once per event.
APPEND_FUNCTION = f"""
CREATE OR REPLACE FUNCTION avatar_sessions_append(
    of_session uuid, its_number integer, its_source varchar, its_kind varchar, its_data jsonb, its_at timestamptz,
    its_prints varchar, before varchar, its_hash varchar, head_signature varchar
) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
    PERFORM 1 FROM {SESSIONS} WHERE id = of_session AND status <> '{Status.ENDED}' FOR NO KEY UPDATE;
    IF NOT FOUND OR EXISTS (SELECT FROM {EVENTS} WHERE session_id = of_session AND number >= its_number) THEN
        RETURN false;
    END IF;
    UPDATE {HEADS} SET number = its_number, hash = its_hash, signature = head_signature
        WHERE session_id = of_session AND number = its_number - 1 AND hash = before;
    IF NOT FOUND THEN RETURN false; END IF;
    INSERT INTO {EVENTS} (session_id, number, source, kind, data, at, prints, previous_hash, hash)
        VALUES (of_session, its_number, its_source, its_kind, its_data, its_at, its_prints, before, its_hash);
    RETURN true;
END $$
"""


@cache
def _append_statement() -> str:
    casts = {"session_id": "uuid", "number": "integer", "data": "jsonb", "at": "timestamptz"}
    values = ", ".join(f"%s::{casts.get(field.column, 'varchar')}" for field in insert_sql.fields(SessionEvent))
    return f"SELECT avatar_sessions_append({values}, %s::varchar) AS is_stored"


@cache
def _append_and_update_statement(model: type[Model], update: str) -> str:
    """Return one statement, and so one transaction, in one round trip."""
    return f"""
        WITH appended AS ({_append_statement()} FROM {model._meta.db_table} WHERE {model._meta.pk.column} = %s),
        updated AS ({update} AND (SELECT is_stored FROM appended))
        SELECT is_stored FROM appended
    """
