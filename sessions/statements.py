"""The two statements by which most events are stored: written by hand, because every event pays for them."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection

from sessions.models import SessionEvent, Status, StreamingSession


def last_event(session_id: UUID) -> tuple[int, str] | None:
    """Return the number and hash of a session's last event."""
    key = StreamingSession._meta.pk.get_db_prep_value(session_id, connection)
    with connection.cursor() as cursor:
        cursor.execute(_last(), [key])
        found: tuple[int, str] | None = cursor.fetchone()
    return found


def insert_next(event: SessionEvent) -> bool:
    """Store an event if its number is free and its session is not over; return whether it was stored.

    The session's row is locked first, so whoever else holds it appends undisturbed: if they did, the number is taken.
    """
    values = [field.get_db_prep_save(getattr(event, field.attname), connection) for field in _fields()]
    key = StreamingSession._meta.pk.get_db_prep_value(event.session_id, connection)
    with connection.cursor() as cursor:
        cursor.execute(_insert(connection.vendor), [*values, key, Status.ENDED])
        return bool(cursor.rowcount)


@cache
def _fields() -> tuple[Any, ...]:
    return tuple(field for field in SessionEvent._meta.concrete_fields if not field.primary_key)


@cache
def _last() -> str:
    events = SessionEvent._meta.db_table
    return f"SELECT number, hash FROM {events} WHERE session_id = %s ORDER BY number DESC LIMIT 1"  # noqa: S608 - a name


@cache
def _insert(vendor: str) -> str:
    events, sessions = SessionEvent._meta.db_table, StreamingSession._meta.db_table
    names = ", ".join(field.column for field in _fields())
    values = ", ".join("%s" for _ in _fields())
    lock = "FOR NO KEY UPDATE" if vendor == "postgresql" else ""  # SQLite has one writer at a time
    return f"""
        INSERT INTO {events} ({names}) SELECT {values} FROM {sessions} WHERE id = %s AND status <> %s {lock}
        ON CONFLICT (session_id, number) DO NOTHING
    """  # noqa: S608 - names of our own tables
