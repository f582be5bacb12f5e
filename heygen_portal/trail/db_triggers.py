"""What keeps the record append-only in the database itself: triggers that refuse to change or delete a row.

They stop a fault of ours, and a hand at the wrong prompt. Whoever owns the database can lift them, as tests do; what
was done then is found by `verify_history`. SQLite loses a table's triggers when a migration remakes the table: such a
migration ends with `install`.
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
"""A row of these is changed, to a higher number."""
TABLES = (*APPEND_ONLY, *FORWARD_ONLY)

CREATE_FUNCTION = """
CREATE OR REPLACE FUNCTION avatar_sessions_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; END $$
"""

OPERATIONS = {1 + 2 + 8: "DELETE", 1 + 2 + 16: "UPDATE"}
"""What PostgreSQL calls a trigger for each row, before it is deleted or changed, on any of its columns."""
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


class _Trigger(NamedTuple):
    name: str
    table: str
    operation: str
    condition: str


def _triggers(tables: Iterable[str]) -> list[_Trigger]:
    found = []
    for table in tables:
        backwards = "WHEN (NEW.number <= OLD.number)" if table in FORWARD_ONLY else ""
        found.append(_Trigger(f"{table}_no_update", table, "UPDATE", backwards))
        found.append(_Trigger(f"{table}_no_delete", table, "DELETE", ""))
    return found


def _statement(vendor: str, trigger: _Trigger) -> str:
    """Return what makes a trigger. SQLite keeps it word for word."""
    name, table, operation, condition = trigger
    if vendor == "postgresql":
        action = f"FOR EACH ROW {condition} EXECUTE FUNCTION avatar_sessions_append_only()"
        return f"CREATE OR REPLACE TRIGGER {name} BEFORE {operation} ON {table} {action}"
    action = f"{condition} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    return f"CREATE TRIGGER {name} BEFORE {operation} ON {table} {action}"


def install(connection: Any, tables: Iterable[str] = TABLES) -> None:
    """Let the database refuse from now on. Safe to repeat."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(CREATE_FUNCTION)
        for trigger in _triggers(tables):
            if connection.vendor == "sqlite":  # which replaces none
                cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name}")
            cursor.execute(_statement(connection.vendor, trigger))


def remove(connection: Any, tables: Iterable[str] = TABLES) -> None:
    """Let rows be changed and deleted: for tests, and for migrating backwards."""
    with connection.cursor() as cursor:
        for trigger in _triggers(tables):
            on_table = f" ON {trigger.table}" if connection.vendor == "postgresql" else ""
            cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name}{on_table}")


@contextmanager
def disabled(connection: Any) -> Iterator[None]:
    """Let rows be changed and deleted in this block, in one transaction with the triggers' return."""
    with transaction.atomic(using=connection.alias):
        remove(connection)
        yield
        install(connection)


def missing(connection: Any) -> list[str]:
    """Return the names of the triggers that are missing, are switched off, or do something else than refuse."""
    installed = _on_sqlite if connection.vendor == "sqlite" else _on_postgres
    with connection.cursor() as cursor:
        found = installed(cursor)
    return [trigger.name for trigger in _triggers(TABLES) if trigger not in found]


def _on_sqlite(cursor: Any) -> set[_Trigger]:
    cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")
    found = {_normalized(sql) for (sql,) in cursor.fetchall()}
    return {trigger for trigger in _triggers(TABLES) if _normalized(_statement("sqlite", trigger)) in found}


def _normalized(sql: str | None) -> str:
    """Return a statement as it is compared: databases upgraded from earlier versions have `IF NOT EXISTS` in it."""
    return " ".join((sql or "").replace("CREATE TRIGGER IF NOT EXISTS", "CREATE TRIGGER").split())


def _on_postgres(cursor: Any) -> set[_Trigger]:
    """Read what PostgreSQL would run: the function's body, and each trigger's moment, condition and switch."""
    cursor.execute(SELECT_TRIGGERS, [CREATE_FUNCTION.split("$$")[1].strip(), list(TABLES)])
    found = {
        (name, table, OPERATIONS.get(kind), _normalized_condition(condition))
        for name, table, kind, condition in cursor.fetchall()
    }
    return {
        trigger for trigger in _triggers(TABLES) if (*trigger[:3], _normalized_condition(trigger.condition)) in found
    }


def _normalized_condition(condition: str) -> str:
    """Return a condition as it is compared: PostgreSQL writes it back in its own way."""
    return re.sub(r"[()\s]", "", condition).lower()
