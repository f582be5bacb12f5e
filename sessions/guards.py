"""What keeps the record append-only in the database itself: triggers that refuse to change or delete a row.

They stop a fault of ours, and a hand at the wrong prompt. Whoever owns the database can lift them, as tests do; what
was done then is found by `verify_history`. SQLite loses a table's triggers when a migration remakes the table: such a
migration ends with `put_up`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

TABLES = ("avatar_sessions_sessionevent", "avatar_sessions_sessionseal")

REFUSE = """
CREATE OR REPLACE FUNCTION avatar_sessions_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$
"""


def _triggers() -> list[tuple[str, str, str]]:
    return [(f"{table}_no_{verb.lower()}", table, verb) for table in TABLES for verb in ("UPDATE", "DELETE")]


def put_up(connection: Any) -> None:
    """Let the database refuse from now on. Safe to repeat."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(REFUSE)
        for name, table, verb in _triggers():
            if connection.vendor == "postgresql":
                does = "FOR EACH ROW EXECUTE FUNCTION avatar_sessions_append_only()"
                cursor.execute(f"CREATE OR REPLACE TRIGGER {name} BEFORE {verb} ON {table} {does}")
            else:
                does = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                cursor.execute(f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {verb} ON {table} {does}")


def take_down(connection: Any) -> None:
    """Let rows be changed and deleted: for tests, and for migrating backwards."""
    with connection.cursor() as cursor:
        for name, table, _verb in _triggers():
            on_table = f" ON {table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on_table}")


@contextmanager
def lifted(connection: Any) -> Iterator[None]:
    """Let rows be changed and deleted in this block, in one transaction with the triggers' return."""
    with transaction.atomic(using=connection.alias):
        take_down(connection)
        yield
        put_up(connection)


def missing(connection: Any) -> list[str]:
    """Return the names of the triggers that are not there."""
    catalogue = {
        "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')",
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    }
    with connection.cursor() as cursor:
        cursor.execute(catalogue[connection.vendor])
        there = {name for (name,) in cursor.fetchall()}
    return [name for name, _table, _verb in _triggers() if name not in there]
