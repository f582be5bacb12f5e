"""The statements by which most events are stored: written by hand, because every event pays for them."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from sessions.lifecycle import insert_sql
from sessions.models import SessionEvent, SessionHead, Status, StreamingSession

EVENTS, HEADS, SESSIONS = (model._meta.db_table for model in (SessionEvent, SessionHead, StreamingSession))


class End(NamedTuple):
    """The number and hash that a session's next event follows, and whether the portal signed them."""

    number: int
    hash: str
    is_own: bool

    @classmethod
    def of(cls, session_id: UUID, head: tuple[Any, Any, Any], stored: int | None) -> End:
        """Return where the record ends, from the columns of its head and the highest number of an event.

        The head counts: events that were cut off leave a gap, and their numbers are not used again. The next event is
        signed, and must not heal a head that is gone or that the portal did not sign: it leaves a number out. Events
        before it cannot be made to fit that gap without its hash changing, so verification finds it for ever.
        """
        number, last_hash, signature = head
        is_own = signature is not None and SessionHead.is_signed(str(signature), session_id, number, last_hash)
        last = max(number or 0, stored or 0)
        return cls(last if is_own else last + 1, last_hash or "", is_own)


def newest(session_id: UUID) -> End:
    """Return where a session's record ends."""
    key = StreamingSession._meta.pk.get_db_prep_value(session_id, connection)
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, [key, key])
        *head, stored = cursor.fetchone()
    return End.of(session_id, tuple(head), stored)


def insert_next(event: SessionEvent, signature: str) -> bool:
    """Store an event and move its session's head, which `signature` is for; return whether that was done.

    It is not for the first event, when the session is over, or when the event does not follow the newest one: somebody
    else has appended, or the database was tampered with. The session's row is locked first, so whoever else holds it
    appends undisturbed.
    """
    values = insert_sql.values(event)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_appended(), [*values, signature])
            return bool(cursor.fetchone()[0])
    # SQLite has one writer at a time.
    key = values[0]
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        head = [event.number, event.hash, signature, key, event.number - 1, event.previous_hash]
        cursor.execute(_MOVE_HEAD, [*head, key, Status.ENDED, key, event.number])
        if cursor.rowcount:
            cursor.execute(insert_sql.statement(SessionEvent), values)
            return True
    return False


# One row, whatever is there.
_NEWEST = f"""
    SELECT head.number, head.hash, head.signature, (SELECT max(number) FROM {EVENTS} WHERE session_id = %s)
    FROM (SELECT 1 AS one) AS single LEFT JOIN {HEADS} AS head ON head.session_id = %s
"""

_MOVE_HEAD = f"""
    UPDATE {HEADS} SET number = %s, hash = %s, signature = %s WHERE session_id = %s AND number = %s AND hash = %s
    AND EXISTS (SELECT 1 FROM {SESSIONS} WHERE id = %s AND status <> %s)
    AND NOT EXISTS (SELECT 1 FROM {EVENTS} WHERE session_id = %s AND number >= %s)
"""

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
"""For PostgreSQL, made by a migration: it plans its statements once a connection, not once an event."""


@cache
def _appended() -> str:
    casts = {"session_id": "uuid", "number": "integer", "data": "jsonb", "at": "timestamptz"}
    values = ", ".join(f"%s::{casts.get(field.column, 'varchar')}" for field in insert_sql.fields(SessionEvent))
    return f"SELECT avatar_sessions_append({values}, %s::varchar)"
