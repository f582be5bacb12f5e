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

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Model

from avatars.models import ProviderAccount
from sessions.lifecycle import insert_sql
from sessions.lifecycle.insert_sql import RowUpdate
from sessions.models import SessionTask, SpeechKey, SpokenWord, Status, StreamingSession, Utterance
from sessions.models.speech import sign_words

Row = TypeVar("Row", bound=Model)

ACCOUNTS, KEYS, LINES, SESSIONS, TASKS, WORDS = (
    model._meta.db_table for model in (ProviderAccount, SpeechKey, Utterance, StreamingSession, SessionTask, SpokenWord)
)


def live_session(session_id: UUID, *, is_locked: bool, for_text: bool = False) -> StreamingSession | None:
    """Return a live session with its account and speech key.

    Returns None if it is not live. With `is_locked`, its row stays locked until the transaction ends.

    With `for_text`, the session also has `task_key` and `line_key`, the primary keys for the two rows of a text. On
    SQLite the caller must be in a transaction that stores both.
    """
    key = StreamingSession._meta.pk.get_db_prep_value(session_id, connection)
    with connection.cursor() as cursor:
        cursor.execute(_live_session_query(connection.vendor, is_locked, for_text), [key, Status.LIVE])
        row = cursor.fetchone()
    if row is None:
        return None
    columns = iter(row)
    session, account = _next_row(StreamingSession, columns), _next_row(ProviderAccount, columns)
    session.account = account
    vars(session).update(zip(("wrapped_key", "task_key", "line_key"), columns, strict=False))
    return session


def update_activity(session: StreamingSession) -> None:
    """Store the time of the last activity and the next deadline."""
    RowUpdate(session, ACTIVITY).store()


def store_text(session: StreamingSession, task: SessionTask, line: Utterance) -> bool:
    """Store a new text, its line with the words for search, and its session's activity.

    Return False, and store nothing, if the session is not live any more, or if what its deadline depends on has changed
    since it was read. The caller of SQLite's version has locked it.
    """
    marks = sign_words(line)  # before its values are read, because it sets the signature
    rows = {row: insert_sql.values(row, with_key=True) for row in (task, line)}
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            unchanged: list[Any] = [session.pk, Status.LIVE, session.ends_at, session.abandoned_at]
            activity = [session.active_at, session.deadline_at, *unchanged]
            cursor.execute(_store_text_statement(), [*activity, *rows[task], *rows[line], line.pk, marks])
            if not cursor.fetchone()[0]:
                return False
        else:
            update_activity(session)
            for row, values in rows.items():
                cursor.execute(insert_sql.statement(type(row), with_key=True), values)
            cursor.execute(_WORDS_SQLITE, [line.pk, json.dumps(marks)])
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias
    return True


def outcome_of(task: SessionTask) -> RowUpdate:
    """Return the update that stores what became of a task."""
    return RowUpdate(task, OUTCOME)


ACTIVITY = ("active_at", "deadline_at")
OUTCOME = ("status", "provider_task_id", "failure", "latency")
_WORDS_SQLITE = f"INSERT INTO {WORDS} (utterance_id, mark) SELECT %s, value FROM json_each(%s)"


@cache
def _store_text_statement() -> str:
    """Return one statement for PostgreSQL, and so one transaction, in one round trip."""

    def insert(model: type[Model]) -> str:
        fields = insert_sql.fields(model, with_key=True)
        names, values = (
            ", ".join(part) for part in zip(*((f.column, insert_sql.cast(f)) for f in fields), strict=True)
        )
        return f"INSERT INTO {model._meta.db_table} ({names}) SELECT {values} FROM held"

    return f"""
        WITH held AS (
            UPDATE {SESSIONS} SET active_at = %s, deadline_at = %s
            WHERE id = %s AND status = %s AND ends_at = %s AND abandoned_at IS NOT DISTINCT FROM %s::timestamptz
            RETURNING id
        ),
        task AS ({insert(SessionTask)}),
        line AS ({insert(Utterance)}),
        words AS (INSERT INTO {WORDS} (utterance_id, mark) SELECT %s, unnest(%s::bigint[]) FROM held)
        SELECT count(*) FROM held
    """


@cache
def _live_session_query(vendor: str, is_locked: bool, for_text: bool) -> str:
    # SQLite allows one writer at a time. An insert with a key moves its sequence there.
    lock = "FOR UPDATE OF held" if is_locked and vendor == "postgresql" else ""
    next_key = (
        "nextval(pg_get_serial_sequence('{table}', 'id'))"
        if vendor == "postgresql"
        else "1 + coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0)"
    )
    keys = "".join(f", {next_key.format(table=table)}" for table in (TASKS, LINES) if for_text)
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
    database = connections[DEFAULT_DB_ALIAS]  # once, because each access to `connection` looks it up again
    for at, expression, converters in _converters(model, database.vendor):
        for convert in converters:
            values[at] = convert(values[at], expression, database)
    return model.from_db(database.alias, [field.attname for field in fields], values)


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
