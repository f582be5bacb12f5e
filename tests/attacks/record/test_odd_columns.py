"""Values that no program stores, in any column of the record.

Verification names them and does not crash.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, models, transaction

from sessions.integrity import verification
from sessions.models import DayTotal, HistoryCheck, LegalHold, SpeechKey, StreamingSession, Utterance
from tests.sessions.integrity.test_tampering_columns import (
    World,
    as_database_owner,
    built_worlds,
    is_fault_of,
    key_of,
    rounds_of_columns,
    sample_row,
    where,
    world,
)
from tests.support.databases import BOTH

__all__ = ["built_worlds", "world"]

ON_SQLITE = (
    "'x'",
    "x'ff41'",
    "CAST(x'ff41' AS TEXT)",
    "CAST(x'4100ff' AS TEXT)",
    "3000000000000",
    "1.5",
    "9e999",
    "NULL",
)


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        # Errors on SQLite left cursors in cycles. They can only be closed while their connection is open.
        gc.collect()
        request.getfixturevalue("postgres")


def odd_values(field: Any) -> tuple[str, ...]:
    """Return SQL of values that the column accepts and that no program stores."""
    if connection.vendor == "sqlite":
        return ON_SQLITE
    column = f'"{field.column}"'
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    match target:
        case models.DateTimeField():
            moment = f"coalesce({column}, now())"
            bc = f"({moment}::text || ' BC')::timestamptz"
            return "'infinity'", "'-infinity'", bc, f"{moment} + interval '10000 years'"
        case models.DateField():
            return "'infinity'", f"({column}::text || ' BC')::date", f"{column} + interval '10000 years'"
        case models.DurationField():
            return ("interval '300000000 days'",)
        case models.DecimalField():
            return ("'NaN'",)
        case models.JSONField():
            return """'{"a": 1e6000}'""", "(repeat('[', 3000) || repeat(']', 3000))::jsonb", "'1'", "'null'"
        case models.GenericIPAddressField():
            return (f"(host(coalesce({column}, '192.0.2.1')) || '/8')::inet",)
        case models.IntegerField():
            return ("-5", "2147483647")
    return ()


def set_column(model: type[models.Model], column: str, value: str, pk: Any) -> bool:
    """Set a column to an SQL value; return whether the database accepted it."""
    with as_database_owner() as cursor:
        table, row = f'"{model._meta.db_table}"', where(model)
        cursor.execute(f'SELECT "{column}" IS NULL FROM {table} WHERE {row}', [pk])
        if cursor.fetchone()[0] and value == "NULL":
            return False
        try:
            with transaction.atomic():
                cursor.execute(f'UPDATE {table} SET "{column}" = {value} WHERE {row}', [pk])
        except DatabaseError:
            return False
    return True


def unnamed(world: World, columns: list[tuple[type[models.Model], Any]]) -> Iterator[str]:
    for number in range(max(len(odd_values(field)) for _model, field in columns)):
        with transaction.atomic():
            changed = [
                (model, field, odd_values(field)[number])
                for model, field in columns
                if number < len(odd_values(field))
                and set_column(model, field.column, odd_values(field)[number], key_of(model, sample_row(model, world)))
            ]
            found = list(verification.faults()) if changed else []
            for model, field, value in changed:
                if not any(is_fault_of(fault, model, field.name) for fault in found):
                    yield f"{model.__name__}.{field.name} = {value}: {found[:3]}"
            transaction.set_rollback(True)


@pytest.mark.proof
def test_an_odd_value_in_any_column_is_named(world: World) -> None:
    lost = [line for columns in rounds_of_columns() for line in unnamed(world, columns)]
    assert not lost, "\n".join(lost)


# Columns that are changed together. The proof above changes every column.
SAMPLES: tuple[tuple[tuple[type[models.Model], str], ...], ...] = (
    ((StreamingSession, "live_at"),),
    ((Utterance, "at"), (LegalHold, "released_at"), (SpeechKey, "wrapped")),
    ((DayTotal, "day"),),
)


def test_some_odd_values_are_named(world: World) -> None:
    for columns in SAMPLES:
        assert not list(unnamed(world, [(model, model._meta.get_field(name)) for model, name in columns]))


def test_faults_in_unprintable_rows_are_reported_and_stored(world: World) -> None:
    if connection.vendor == "sqlite":
        pk = key_of(StreamingSession, world.session.pk)
        changes: list[tuple[Any, str, str, Any]] = [(StreamingSession, "id", "CAST(x'ff41' AS TEXT)", pk)]
    else:
        lines = Utterance.objects.filter(session=world.session).values_list("pk", flat=True)
        changes = [(Utterance, "at", "'infinity'", line) for line in lines]
    for model, column, value, key in changes:
        assert set_column(model, column, value, key)
    with pytest.raises(CommandError):
        call_command("verify_history")
    assert HistoryCheck.objects.latest("pk").fault_count
