"""Triggers of append-only tables, replaced by others of the same name."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from heygen_portal.trail import db_triggers
from sessions.integrity import verification


@pytest.fixture(autouse=True, params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


EVENTS, HEADS = "avatar_sessions_sessionevent", "avatar_sessions_sessionhead"
ANOTHER = """
CREATE OR REPLACE FUNCTION its_own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN COALESCE(NEW, OLD); END $$
"""
DISARMED = {
    "sqlite": {
        "nothing": [f"CREATE TRIGGER {{name}} BEFORE UPDATE ON {EVENTS} BEGIN SELECT 1; END"],
        "another verb": [
            f"CREATE TRIGGER {{name}} BEFORE INSERT ON {EVENTS}"
            f" BEGIN SELECT RAISE(ABORT, '{EVENTS} is append-only'); END"
        ],
        "never": [
            f"CREATE TRIGGER {{name}} BEFORE UPDATE ON {EVENTS} WHEN 0"
            f" BEGIN SELECT RAISE(ABORT, '{EVENTS} is append-only'); END"
        ],
        "another table": [
            f"CREATE TRIGGER {{name}} BEFORE UPDATE ON avatar_sessions_export"
            f" BEGIN SELECT RAISE(ABORT, '{EVENTS} is append-only'); END"
        ],
    },
    "postgresql": {
        "nothing": [
            ANOTHER,
            f"CREATE TRIGGER {{name}} BEFORE UPDATE ON {EVENTS} FOR EACH ROW EXECUTE FUNCTION its_own()",
        ],
        "another verb": [
            f"CREATE TRIGGER {{name}} BEFORE INSERT ON {EVENTS}"
            " FOR EACH ROW EXECUTE FUNCTION avatar_sessions_append_only()"
        ],
        "never": [
            f"CREATE TRIGGER {{name}} BEFORE UPDATE ON {EVENTS}"
            " FOR EACH ROW WHEN (false) EXECUTE FUNCTION avatar_sessions_append_only()"
        ],
        "another table": [
            "CREATE TRIGGER {name} BEFORE UPDATE ON avatar_sessions_export"
            " FOR EACH ROW EXECUTE FUNCTION avatar_sessions_append_only()"
        ],
        "one column": [
            f"CREATE TRIGGER {{name}} BEFORE UPDATE OF kind ON {EVENTS}"
            " FOR EACH ROW EXECUTE FUNCTION avatar_sessions_append_only()"
        ],
        "statement": [
            f"CREATE TRIGGER {{name}} BEFORE UPDATE ON {EVENTS} EXECUTE FUNCTION avatar_sessions_append_only()"
        ],
        "switched off": [
            f"CREATE TRIGGER {{name}} BEFORE UPDATE ON {EVENTS}"
            " FOR EACH ROW EXECUTE FUNCTION avatar_sessions_append_only()",
            f"ALTER TABLE {EVENTS} DISABLE TRIGGER {{name}}",
        ],
    },
}
NO_OP = """
CREATE OR REPLACE FUNCTION avatar_sessions_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RETURN COALESCE(NEW, OLD); END $$
"""


def test_a_replaced_trigger_counts_as_missing() -> None:
    name = f"{EVENTS}_no_update"
    for statements in DISARMED[connection.vendor].values():
        db_triggers.remove(connection, [EVENTS])
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement.format(name=name))
        assert db_triggers.missing(connection) == [name, f"{EVENTS}_no_delete"], statements
        with connection.cursor() as cursor:  # it may be on another table
            cursor.execute(
                "DROP TRIGGER IF EXISTS " + name + ("" if connection.vendor == "sqlite" else _on(name, cursor))
            )
        db_triggers.install(connection)
        assert db_triggers.missing(connection) == []


def _on(name: str, cursor: Any) -> str:
    cursor.execute("SELECT tgrelid::regclass FROM pg_trigger WHERE tgname = %s", [name])
    return f" ON {cursor.fetchone()[0]}"


def test_a_weakened_head_trigger_counts_as_missing() -> None:
    name = f"{HEADS}_no_update"
    on_table = f" ON {HEADS}" if connection.vendor == "postgresql" else ""
    does = "FOR EACH ROW WHEN (NEW.number < OLD.number) EXECUTE FUNCTION avatar_sessions_append_only()"
    if connection.vendor == "sqlite":
        does = f"WHEN (NEW.number < OLD.number) BEGIN SELECT RAISE(ABORT, '{HEADS} is append-only'); END"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {name}{on_table}")
        cursor.execute(f"CREATE TRIGGER {name} BEFORE UPDATE ON {HEADS} {does}")
    assert db_triggers.missing(connection) == [name]
    db_triggers.install(connection)
    assert db_triggers.missing(connection) == []


def test_a_disarmed_trigger_function_leaves_every_trigger_missing() -> None:
    if connection.vendor == "sqlite":
        return  # it has no such function
    with connection.cursor() as cursor:
        cursor.execute(NO_OP)
    assert db_triggers.missing(connection) == [
        trigger.name for trigger in db_triggers._triggers(db_triggers.TABLES, "postgresql")
    ]
    assert [fault.kind for fault in verification.faults()] == ["unguarded"]
    db_triggers.install(connection)
    assert db_triggers.missing(connection) == []
