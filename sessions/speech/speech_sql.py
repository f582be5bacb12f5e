"""Hand-written SQL for storing texts, because it runs for every text.

Django takes ten times as long to build such a statement as the database to execute it. The statements do the same as
the models' own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from django.db import DatabaseError, connection
from django.db.models import Model

from avatars.models import ProviderAccount
from sessions.lifecycle import insert_sql
from sessions.models import SessionTask, SpeechKey, SpokenWord, Status, StreamingSession, Utterance
from sessions.models.speech import Spoken, next_primary_key, sign_words

Row = TypeVar("Row", bound=Model)

ACCOUNTS, KEYS, SESSIONS, TASKS, WORDS = (
    model._meta.db_table for model in (ProviderAccount, SpeechKey, StreamingSession, SessionTask, SpokenWord)
)


def lock_live_session(session_id: UUID, *, for_text: bool = False) -> StreamingSession | None:
    """Lock and return a live session with its account and speech key.

    Returns None if it is not live.

    With `for_text`, the session also has `task_key` and `line_key`, the primary keys for the two rows of a text.
    """
    key = StreamingSession._meta.pk.get_db_prep_value(session_id, connection)
    reserves_keys = for_text and connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute(_live_session_query(connection.vendor, reserves_keys), [key, Status.LIVE])
        row = cursor.fetchone()
    if row is None:
        return None
    columns = iter(row)
    session, account = _next_row(StreamingSession, columns), _next_row(ProviderAccount, columns)
    session.account = account
    wrapped, *keys = columns
    if for_text and not reserves_keys:
        keys = [next_primary_key(SessionTask), next_primary_key(Utterance)]
    vars(session).update(zip(("wrapped_key", "task_key", "line_key"), (wrapped, *keys), strict=False))
    return session


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
    marks = sign_words(line)
    _insert(line)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_WORDS_POSTGRESQL, [line.pk, marks])
        else:
            cursor.execute(_WORDS_SQLITE, [line.pk, json.dumps(marks)])


def update_outcome(task: SessionTask) -> None:
    """Store what became of a task. Raises DatabaseError if the task is not there."""
    fields = [SessionTask._meta.get_field(name) for name in (*OUTCOME, "id")]
    with connection.cursor() as cursor:
        cursor.execute(_OUTCOME, [insert_sql.value(task, field) for field in fields])
        if not cursor.rowcount:
            raise DatabaseError(f"task {task.pk} is not stored")


OUTCOME = ("status", "provider_task_id", "failure", "latency")
_OUTCOME = f"UPDATE {TASKS} SET {', '.join(f'{name} = %s' for name in OUTCOME)} WHERE id = %s"
_ACTIVITY = f"UPDATE {SESSIONS} SET active_at = %s, deadline_at = %s WHERE id = %s"
# One statement for all words of a line.
_WORDS_POSTGRESQL = f"INSERT INTO {WORDS} (utterance_id, mark) SELECT %s, unnest(%s::bigint[])"
_WORDS_SQLITE = f"INSERT INTO {WORDS} (utterance_id, mark) SELECT %s, value FROM json_each(%s)"


@cache
def _live_session_query(vendor: str, reserves_keys: bool) -> str:
    lock = "FOR UPDATE OF held" if vendor == "postgresql" else ""  # SQLite allows one writer at a time
    keys = "".join(
        f", nextval(pg_get_serial_sequence('{model._meta.db_table}', 'id')) AS {name}"
        for name, model in (("task_key", SessionTask), ("line_key", Utterance))
        if reserves_keys
    )
    models = (("held", StreamingSession), ("account", ProviderAccount))
    columns = ", ".join(f"{table}.{field.column}" for table, model in models for field in model._meta.concrete_fields)
    return f"""
        SELECT {columns}, speech.wrapped{keys} FROM {SESSIONS} held
        JOIN {ACCOUNTS} account ON account.id = held.account_id LEFT JOIN {KEYS} speech ON speech.session_id = held.id
        WHERE held.id = %s AND held.status = %s {lock}
    """


def _next_row(model: type[Row], columns: Iterator[Any]) -> Row:
    """Take the columns of a model from a result, in the order of its fields."""
    fields = model._meta.concrete_fields
    values = list(islice(columns, len(fields)))
    for at, expression, converters in _converters(model, connection.vendor):
        for convert in converters:
            values[at] = convert(values[at], expression, connection)
    return model.from_db(connection.alias, [field.attname for field in fields], values)


@cache
def _converters(model: type[Model], vendor: str) -> list[tuple[int, Any, list[Any]]]:
    """Return position, expression and converters of a model's columns.

    Django looks it up for every query, which takes longer than the query.
    """
    found = []
    for at, field in enumerate(model._meta.concrete_fields):
        expression = field.get_col(model._meta.db_table)
        converters = [*connection.ops.get_db_converters(expression), *expression.get_db_converters(connection)]
        if converters:
            found.append((at, expression, converters))
    return found


def _insert(row: Spoken) -> None:
    """Store a row with a reserved primary key, to which its sealed text is bound."""
    with connection.cursor() as cursor:
        statement = insert_sql.statement(type(row), with_key=True)
        cursor.execute(f"{statement} RETURNING id", insert_sql.values(row, with_key=True))
        row.pk = cursor.fetchone()[0]
    row._state.adding, row._state.db = False, connection.alias
