"""How a text is stored: by statements written by hand, because every text pays for them.

Django takes ten times as long to put one together as the database to carry it out. They do what the models' own would.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model

from avatars.models import ProviderAccount
from sessions.models import SessionTask, SpeechKey, SpokenWord, Status, StreamingSession, Utterance
from sessions.models.speech import Spoken, next_key, words_of

ACCOUNTS, KEYS, SESSIONS = (model._meta.db_table for model in (ProviderAccount, SpeechKey, StreamingSession))


def hold_live(session_id: UUID, *, for_text: bool = False) -> StreamingSession | None:
    """Return a session that is live, with its account and the key of its speech; nobody else changes it before the
    transaction ends.

    `for_text`: with `task_key` and `line_key`, which a text's two rows are to have.
    """
    key = StreamingSession._meta.pk.get_db_prep_value(session_id, connection)
    takes_keys = for_text and connection.vendor == "postgresql"
    for session in StreamingSession.objects.raw(_live(connection.vendor, takes_keys), [key, Status.LIVE]):
        if for_text and not takes_keys:
            vars(session).update(task_key=next_key(SessionTask), line_key=next_key(Utterance))
        [session.account] = ProviderAccount.objects.raw(_ACCOUNT, [session.account_id])
        return session
    return None


def update_activity(session: StreamingSession) -> None:
    """Store when somebody was last active, and the next look."""
    fields = [StreamingSession._meta.get_field(name) for name in ("active_at", "deadline_at", "id")]
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVITY, [_value(session, field) for field in fields])


def insert_task(task: SessionTask) -> None:
    """Store a new task; its key is known then."""
    _insert(task)


def insert_line(line: Utterance) -> None:
    """Store a new line of the transcript, and the words by which it is found; its key is known then."""
    _insert(line)
    words = [_values(word) for word in words_of(line)]
    if words:
        with connection.cursor() as cursor:
            cursor.executemany(_inserting(SpokenWord), words)


_ACTIVITY = f"UPDATE {SESSIONS} SET active_at = %s, deadline_at = %s WHERE id = %s"
_ACCOUNT = f"SELECT * FROM {ACCOUNTS} WHERE id = %s"


@cache
def _live(vendor: str, takes_keys: bool) -> str:
    lock = "FOR UPDATE OF held" if vendor == "postgresql" else ""  # SQLite has one writer at a time
    keys = "".join(
        f", nextval(pg_get_serial_sequence('{model._meta.db_table}', 'id')) AS {name}"
        for name, model in (("task_key", SessionTask), ("line_key", Utterance))
        if takes_keys
    )
    return f"""
        SELECT held.*, speech.wrapped AS wrapped_key{keys} FROM {SESSIONS} held
        LEFT JOIN {KEYS} speech ON speech.session_id = held.id WHERE held.id = %s AND held.status = %s {lock}
    """


def _insert(row: Model) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"{_inserting(type(row))} RETURNING id", _values(row))
        row.pk = cursor.fetchone()[0]
    row._state.adding, row._state.db = False, connection.alias


@cache
def _inserting(model: type[Model]) -> str:
    names = [field.column for field in _fields(model)]
    places = ", ".join("%s" for _ in names)
    return f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) VALUES ({places})"


def _values(row: Model) -> list[Any]:
    return [_value(row, field) for field in _fields(type(row))]


def _value(row: Model, field: Any) -> Any:
    return field.get_db_prep_save(getattr(row, field.attname), connection)


@cache
def _fields(model: type[Model]) -> tuple[Any, ...]:
    has_key = issubclass(model, Spoken)  # taken before, as the sealed text is bound to it
    return tuple(field for field in model._meta.concrete_fields if has_key or not field.primary_key)
