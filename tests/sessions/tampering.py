"""Records, and the hand of whoever owns the database."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from heygen_portal import guards
from sessions import events, lifecycle
from sessions.events import Entry
from sessions.models import EndReason, SessionEvent, StreamingSession
from tests.factories import WHY, StreamingSessionFactory

EVENTS = "avatar_sessions_sessionevent"


def running() -> StreamingSession:
    """A session with six events."""
    session = StreamingSessionFactory.create()
    for number in range(6):
        events.record(session.pk, Entry("thing", {"n": number, "word": "¿qué?", "share": 0.25}))
    return session


def ended() -> StreamingSession:
    """One that is over, with eight, the last two of them its end."""
    session = running()
    lifecycle.begin_stop(session, EndReason.USER_STOPPED, WHY)
    lifecycle.end(session)
    return session


def sql(statement: str, *values: Any) -> None:
    """Do what the triggers refuse, as the database's owner can."""
    with transaction.atomic():
        guards.take_down(connection)
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
        guards.put_up(connection)


def on(session: StreamingSession, number: int) -> dict[str, Any]:
    return {"session": session, "number": number}


def row(session: StreamingSession, number: int) -> SessionEvent:
    return SessionEvent.objects.get(**on(session, number))


def write(event: SessionEvent, number: int, **fields: Any) -> None:
    """Write an event's row anew, under this number."""
    with guards.lifted(connection):
        SessionEvent.objects.filter(pk=event.pk).update(number=number, **fields)
