"""Database triggers that make the record append-only.

They stop bugs and mistyped SQL. The database's owner can disable them, as tests do; `verify_history` finds what was
changed meanwhile. SQLite drops a table's triggers when a migration remakes the table, so such a migration must end
with `install`.
"""

from __future__ import annotations

import re
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
"""Rows of these tables may be updated, but only to a higher `number`."""
TABLES = (*APPEND_ONLY, *FORWARD_ONLY)

CREATE_FUNCTION = """
CREATE OR REPLACE FUNCTION avatar_sessions_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$
"""

OPERATIONS = {1 + 2 + 8: "DELETE", 1 + 2 + 16: "UPDATE"}
"""Bits of `pg_trigger.tgtype` for triggers FOR EACH ROW (1) BEFORE (2) DELETE (8) or UPDATE (16)."""
SELECT_TRIGGERS = """
SELECT tgname, relname, tgtype, CASE WHEN tgqual IS NULL THEN '' ELSE 'WHEN ' || substring(
    pg_get_triggerdef(trigger.oid) FROM ' WHEN (.*) EXECUTE FUNCTION ') END
FROM pg_trigger trigger JOIN pg_class relation ON relation.oid = tgrelid JOIN pg_proc function ON function.oid = tgfoid
    JOIN pg_language language ON language.oid = prolang
WHERE (tgenabled = 'A' OR tgenabled = 'O' AND current_setting('session_replication_role') <> 'replica')
    AND NOT tgisinternal AND tgattr::text = '' AND tgnargs = 0
    AND proname = 'avatar_sessions_append_only' AND lanname = 'plpgsql' AND btrim(prosrc) = %s
    AND relation.oid = ANY(SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
"""


AUDIT_ENTRIES = "heygen_portal_auditentry"
"""Names in an entry can be replaced, where it then says so, and nothing else of it is changed."""
KEPT = {"id": "", "number": "", "at": "", "kind": "::text", "by_id": "", "address": "",
        "previous_hash": "::text", "hash": "::text"}  # fmt: skip
"""Columns of an audit entry that stay, each with the cast that PostgreSQL adds to a comparison."""


def _is_more_than_renaming(vendor: str) -> str:
    if vendor == "sqlite":
        marked, other = "json_extract(NEW.data, '$.is_renamed') IS NOT 1", "NEW.{0} IS NOT OLD.{0}"
    else:
        marked = "(NEW.data ->> 'is_renamed'::text) IS DISTINCT FROM 'true'::text"
        other = "NEW.{0}{1} IS DISTINCT FROM OLD.{0}{1}"
    return "WHEN (" + " OR ".join([marked, *(other.format(*column) for column in KEPT.items())]) + ")"


class _Trigger(NamedTuple):
    name: str
    table: str
    operation: str
    condition: str


def _triggers(tables: Iterable[str], vendor: str) -> list[_Trigger]:
    found = []
    for table in tables:
        condition = "WHEN (NEW.number <= OLD.number)" if table in FORWARD_ONLY else ""
        if table == AUDIT_ENTRIES:
            condition = _is_more_than_renaming(vendor)
        found.append(_Trigger(f"{table}_no_update", table, "UPDATE", condition))
        found.append(_Trigger(f"{table}_no_delete", table, "DELETE", ""))
    return found


def _statement(vendor: str, trigger: _Trigger) -> str:
    """Return the SQL that creates a trigger. SQLite stores it verbatim."""
    name, table, operation, condition = trigger
    if vendor == "postgresql":
        action = f"FOR EACH ROW {condition} EXECUTE FUNCTION avatar_sessions_append_only()"
        return f"CREATE OR REPLACE TRIGGER {name} BEFORE {operation} ON {table} {action}"
    action = f"{condition} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    return f"CREATE TRIGGER {name} BEFORE {operation} ON {table} {action}"


def install(connection: Any, tables: Iterable[str] = TABLES) -> None:
    """Create the triggers. Idempotent."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(CREATE_FUNCTION)
        for trigger in _triggers(tables, connection.vendor):
            if connection.vendor == "sqlite":  # has no CREATE OR REPLACE TRIGGER
                cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name}")
            cursor.execute(_statement(connection.vendor, trigger))


def remove(connection: Any, tables: Iterable[str] = TABLES) -> None:
    """Drop the triggers, for tests and backward migrations."""
    with connection.cursor() as cursor:
        for trigger in _triggers(tables, connection.vendor):
            on_table = f" ON {trigger.table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name}{on_table}")


@contextmanager
def disabled(connection: Any) -> Iterator[None]:
    """Drop the triggers for a block and create them again, all in one transaction."""
    with transaction.atomic(using=connection.alias):
        remove(connection)
        yield
        install(connection)


def missing(connection: Any) -> list[str]:
    """Return the names of triggers that are missing, disabled or altered."""
    installed = _on_sqlite if connection.vendor == "sqlite" else _on_postgres
    with connection.cursor() as cursor:
        found = installed(cursor)
    return [trigger.name for trigger in _triggers(TABLES, connection.vendor) if trigger not in found]


def _on_sqlite(cursor: Any) -> set[_Trigger]:
    cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")
    found = {_normalized(sql) for (sql,) in cursor.fetchall()}
    return {trigger for trigger in _triggers(TABLES, "sqlite") if _normalized(_statement("sqlite", trigger)) in found}


def _normalized(sql: str | None) -> str:
    """Return SQL for comparison.

    Migrations of earlier versions wrote `IF NOT EXISTS`, and spaces and line breaks within parentheses.
    """
    words = " ".join((sql or "").replace("CREATE TRIGGER IF NOT EXISTS", "CREATE TRIGGER").split())
    return words.replace("( ", "(").replace(" )", ")")


def _on_postgres(cursor: Any) -> set[_Trigger]:
    """Return the intact triggers.

    They are judged by function body, timing, condition and enabled state.
    """
    cursor.execute(SELECT_TRIGGERS, [CREATE_FUNCTION.split("$$")[1].strip(), list(TABLES)])
    found = {
        (name, table, OPERATIONS.get(kind), _normalized_condition(condition))
        for name, table, kind, condition in cursor.fetchall()
    }
    expected = _triggers(TABLES, "postgresql")
    return {trigger for trigger in expected if (*trigger[:3], _normalized_condition(trigger.condition)) in found}


def _normalized_condition(condition: str) -> str:
    """Return a condition for comparison.

    PostgreSQL reports it with its own spacing and parentheses.
    """
    return re.sub(r"[()\s]", "", condition).lower()
