"""Session records, and tampering with them as the owner of the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection, transaction

from heygen_portal.providers.contract.provider import ProviderSession
from heygen_portal.trail import db_triggers, hash_chain
from sessions.lifecycle import events, transitions
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, SessionEvent, SessionHead, StreamingSession
from tests.support.factories import WHY, StreamingSessionFactory, UserFactory

EVENTS = "avatar_sessions_sessionevent"


def running_session() -> StreamingSession:
    """Return an open session with six events."""
    session = StreamingSessionFactory.create()
    session.deadline_at = transitions.next_check_at(session, is_live=True)
    session.save(update_fields=["deadline_at"])
    for number in range(6):
        events.record(session.pk, Entry("thing", {"n": number, "word": "¿qué?", "share": 0.25}))
    return session


def live_session(persona: Any, name: str) -> StreamingSession:
    """Return a session that the portal opened and whose first frame was shown."""
    session = transitions.request(persona, UserFactory.create().pk)
    transitions.connect(session, ProviderSession(name, None, duration_limit=timedelta(minutes=10), is_paid=True))
    transitions.record_started(session, ProviderSession(name, None))
    transitions.go_live(session)
    return session


def ended_session() -> StreamingSession:
    """Return an ended session with eight events; the last two record its end."""
    session = running_session()
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)
    return session


def execute_as_owner(statement: str, *values: Any) -> None:
    """Execute a statement without the triggers, as the owner of the database can."""
    with transaction.atomic():
        db_triggers.remove(connection)
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
        db_triggers.install(connection)


def at_number(session: StreamingSession, number: int) -> dict[str, Any]:
    return {"session": session, "number": number}


def event_row(session: StreamingSession, number: int) -> SessionEvent:
    return SessionEvent.objects.get(**at_number(session, number))


def overwrite(event: SessionEvent, number: int, **fields: Any) -> None:
    """Overwrite the row of an event, under this number."""
    with db_triggers.disabled(connection):
        SessionEvent.objects.filter(pk=event.pk).update(number=number, **fields)


Rows = list[dict[str, Any]]


def rewrite_record(
    session: StreamingSession, change: Callable[[Rows], Rows] = lambda rows: rows, signature: str = "x"
) -> None:
    """Rewrite a record without the signing key.

    All hashes match, and the head names the last one.
    """
    stored: Any = SessionEvent.objects.filter(session=session).order_by("number").values()
    kept = change(list(stored))
    last_hash = ""
    with db_triggers.disabled(connection):
        SessionEvent.objects.filter(session=session).exclude(pk__in=[event["id"] for event in kept]).delete()
        for number, event in enumerate(kept, 1):
            at, data = event["at"].isoformat(), event["data"]
            prints = hash_chain.checksums(event["source"], event["kind"], hash_chain.canonical(data), at)
            fields = (event["source"], event["kind"], data, at, prints)
            event_hash = events.digest_of(last_hash, str(session.pk), number, *fields)
            SessionEvent.objects.filter(pk=event["id"]).update(
                number=number, data=data, prints=prints, previous_hash=last_hash, hash=event_hash
            )
            last_hash = event_hash
        SessionHead.objects.filter(session=session).update(number=len(kept), hash=last_hash, signature=signature)


def restate(rows: Rows, table: str, **values: Any) -> Rows:
    """Replace values in all statements about a table."""
    for event in rows:
        for columns in event["data"].get("rows", {}).get(table, {}).values():
            columns.update({name: value for name, value in values.items() if name in columns})
    return rows
