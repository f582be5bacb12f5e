"""What keeps the record append-only in the database itself: triggers that refuse to change or delete a row.

They stop a fault of ours, and a hand at the wrong prompt. Whoever owns the database can lift them, as tests do; what
was done then is found by `verify_history`. SQLite loses a table's triggers when a migration remakes the table: such a
migration ends with `put_up`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import transaction

APPEND_ONLY = (
    "avatar_sessions_sessionevent",
    "avatar_sessions_sessionseal",
    "avatar_sessions_erasure",
    "heygen_portal_auditentry",
)
FORWARD_ONLY = ("avatar_sessions_sessionhead", "heygen_portal_audithead")
"""A row of these is changed, to a higher number."""
TABLES = (*APPEND_ONLY, *FORWARD_ONLY)

REFUSE = """
CREATE OR REPLACE FUNCTION avatar_sessions_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$
"""


class _Trigger(NamedTuple):
    name: str
    table: str
    verb: str
    condition: str


def _triggers(tables: Iterable[str]) -> list[_Trigger]:
    found = []
    for table in tables:
        backwards = "WHEN (NEW.number <= OLD.number)" if table in FORWARD_ONLY else ""
        found.append(_Trigger(f"{table}_no_update", table, "UPDATE", backwards))
        found.append(_Trigger(f"{table}_no_delete", table, "DELETE", ""))
    return found


def put_up(connection: Any, tables: Iterable[str] = TABLES) -> None:
    """Let the database refuse from now on. Safe to repeat."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(REFUSE)
        for name, table, verb, condition in _triggers(tables):
            if connection.vendor == "postgresql":
                does = f"FOR EACH ROW {condition} EXECUTE FUNCTION avatar_sessions_append_only()"
                cursor.execute(f"CREATE OR REPLACE TRIGGER {name} BEFORE {verb} ON {table} {does}")
            else:
                does = f"{condition} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                cursor.execute(f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {verb} ON {table} {does}")


def take_down(connection: Any, tables: Iterable[str] = TABLES) -> None:
    """Let rows be changed and deleted: for tests, and for migrating backwards."""
    with connection.cursor() as cursor:
        for trigger in _triggers(tables):
            on_table = f" ON {trigger.table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name}{on_table}")


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
    return [trigger.name for trigger in _triggers(TABLES) if trigger.name not in there]
