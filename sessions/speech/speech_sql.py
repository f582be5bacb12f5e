"""Hand-written SQL for storing texts, because it runs for every text.

Django takes ten times as long to build such a statement as the database to execute it. The statements do the same as
the models' own.
"""

from __future__ import annotations

from functools import cache
from uuid import UUID

from django.db import connection

from avatars.models import ProviderAccount
from sessions.lifecycle import insert_sql
from sessions.models import SessionTask, SpeechKey, SpokenWord, Status, StreamingSession, Utterance
from sessions.models.speech import Spoken, next_primary_key, word_rows

ACCOUNTS, KEYS, SESSIONS = (model._meta.db_table for model in (ProviderAccount, SpeechKey, StreamingSession))


def lock_live_session(session_id: UUID, *, for_text: bool = False) -> StreamingSession | None:
    """Lock and return a live session with its account and speech key.

    Returns None if it is not live.

    With `for_text`, the session also has `task_key` and `line_key`, the primary keys for the two rows of a text.
    """
    key = StreamingSession._meta.pk.get_db_prep_value(session_id, connection)
    reserves_keys = for_text and connection.vendor == "postgresql"
    for session in StreamingSession.objects.raw(
        _live_session_query(connection.vendor, reserves_keys), [key, Status.LIVE]
    ):
        if for_text and not reserves_keys:
            vars(session).update(task_key=next_primary_key(SessionTask), line_key=next_primary_key(Utterance))
        [session.account] = ProviderAccount.objects.raw(_ACCOUNT, [session.account_id])
        return session
    return None


def update_activity(session: StreamingSession) -> None:
    """Store the time of the last activity and the next deadline."""
    fields = [StreamingSession._meta.get_field(name) for name in ("active_at", "deadline_at", "id")]
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVITY, [insert_sql.value(session, field) for field in fields])


def insert_task(task: SessionTask) -> None:
    """Store a new task and set its primary key."""
    _insert(task)


def insert_line(line: Utterance) -> None:
    """Store a new line with its words for search, and set its primary key."""
    _insert(line)
    words = [insert_sql.values(word) for word in word_rows(line)]
    if words:
        with connection.cursor() as cursor:
            cursor.executemany(insert_sql.statement(SpokenWord), words)


_ACTIVITY = f"UPDATE {SESSIONS} SET active_at = %s, deadline_at = %s WHERE id = %s"
_ACCOUNT = f"SELECT * FROM {ACCOUNTS} WHERE id = %s"


@cache
def _live_session_query(vendor: str, reserves_keys: bool) -> str:
    lock = "FOR UPDATE OF held" if vendor == "postgresql" else ""  # SQLite allows one writer at a time
    keys = "".join(
        f", nextval(pg_get_serial_sequence('{model._meta.db_table}', 'id')) AS {name}"
        for name, model in (("task_key", SessionTask), ("line_key", Utterance))
        if reserves_keys
    )
    return f"""
        SELECT held.*, speech.wrapped AS wrapped_key{keys} FROM {SESSIONS} held
        LEFT JOIN {KEYS} speech ON speech.session_id = held.id WHERE held.id = %s AND held.status = %s {lock}
    """


def _insert(row: Spoken) -> None:
    """Store a row with a reserved primary key, to which its sealed text is bound."""
    with connection.cursor() as cursor:
        statement = insert_sql.statement(type(row), with_key=True)
        cursor.execute(f"{statement} RETURNING id", insert_sql.values(row, with_key=True))
        row.pk = cursor.fetchone()[0]
    row._state.adding, row._state.db = False, connection.alias
