"""How a text is stored: by statements written by hand, because every text pays for them.

Django takes ten times as long to put one together as the database to carry it out. They do what the models' own would.
"""

from __future__ import annotations

from functools import cache
from uuid import UUID

from django.db import connection

from avatars.models import ProviderAccount
from sessions.lifecycle import insert_sql
from sessions.models import SessionTask, SpeechKey, SpokenWord, Status, StreamingSession, Utterance
from sessions.models.speech import Spoken, next_key, words_of

ACCOUNTS, KEYS, SESSIONS = (model._meta.db_table for model in (ProviderAccount, SpeechKey, StreamingSession))


def lock_live_session(session_id: UUID, *, for_text: bool = False) -> StreamingSession | None:
    """Return a session that is live, with its account and the key of its speech; nobody else changes it before the
    transaction ends.

    `for_text`: with `task_key` and `line_key`, which a text's two rows are to have.
    """
    key = StreamingSession._meta.pk.get_db_prep_value(session_id, connection)
    reserves_keys = for_text and connection.vendor == "postgresql"
    for session in StreamingSession.objects.raw(
        _live_session_query(connection.vendor, reserves_keys), [key, Status.LIVE]
    ):
        if for_text and not reserves_keys:
            vars(session).update(task_key=next_key(SessionTask), line_key=next_key(Utterance))
        [session.account] = ProviderAccount.objects.raw(_ACCOUNT, [session.account_id])
        return session
    return None


def update_activity(session: StreamingSession) -> None:
    """Store when somebody was last active, and the next look."""
    fields = [StreamingSession._meta.get_field(name) for name in ("active_at", "deadline_at", "id")]
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVITY, [insert_sql.value(session, field) for field in fields])


def insert_task(task: SessionTask) -> None:
    """Store a new task; its key is known then."""
    _insert(task)


def insert_line(line: Utterance) -> None:
    """Store a new line of the transcript, and the words by which it is found; its key is known then."""
    _insert(line)
    words = [insert_sql.values(word) for word in words_of(line)]
    if words:
        with connection.cursor() as cursor:
            cursor.executemany(insert_sql.statement(SpokenWord), words)


_ACTIVITY = f"UPDATE {SESSIONS} SET active_at = %s, deadline_at = %s WHERE id = %s"
_ACCOUNT = f"SELECT * FROM {ACCOUNTS} WHERE id = %s"


@cache
def _live_session_query(vendor: str, reserves_keys: bool) -> str:
    lock = "FOR UPDATE OF held" if vendor == "postgresql" else ""  # SQLite has one writer at a time
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
    """Store a row whose key was taken before, as its sealed text is bound to it."""
    with connection.cursor() as cursor:
        statement = insert_sql.statement(type(row), with_key=True)
        cursor.execute(f"{statement} RETURNING id", insert_sql.values(row, with_key=True))
        row.pk = cursor.fetchone()[0]
    row._state.adding, row._state.db = False, connection.alias
