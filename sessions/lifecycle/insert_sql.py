"""Handwritten INSERT and UPDATE statements.

Django takes longer to build one than the database takes to run it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, models
from django.db.models import Model

# Django stores values of these types as they are.
PLAIN_TYPES: dict[type[models.Field[Any, Any]], type] = {
    models.CharField: str,
    models.TextField: str,
    models.IntegerField: int,
    models.SmallIntegerField: int,
    models.PositiveSmallIntegerField: int,
    models.BigAutoField: int,
    models.BooleanField: bool,
}


@cache
def fields(model: type[Model], *, with_key: bool = False) -> tuple[Any, ...]:
    """Return the fields of the insert.

    With `with_key`, the primary key is one of them.
    """
    return tuple(field for field in model._meta.concrete_fields if with_key or not field.primary_key)


@cache
def statement(model: type[Model], *, with_key: bool = False) -> str:
    names = [field.column for field in fields(model, with_key=with_key)]
    return f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) VALUES ({', '.join('%s' for _ in names)})"


def values(row: Model, *, with_key: bool = False) -> list[Any]:
    """Return the parameters of `statement` for a row."""
    return _prepared(row, fields(type(row), with_key=with_key))


@dataclass(frozen=True)
class RowUpdate:
    """New values of a stored row."""

    row: Model
    columns: tuple[str, ...]

    @property
    def statement(self) -> str:
        return _update_statement(type(self.row), self.columns)

    @property
    def parameters(self) -> list[Any]:
        """Parameters of `statement`. The last is the primary key."""
        return _prepared(self.row, _columns(type(self.row), (*self.columns, "pk")))

    def store(self) -> None:
        """Raises DatabaseError if the row is not there."""
        with connection.cursor() as cursor:
            cursor.execute(self.statement, self.parameters)
            if not cursor.rowcount:
                raise DatabaseError(f"{type(self.row).__name__} {self.row.pk} is not stored")


@cache
def _columns(model: type[Model], names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(model._meta.pk if name == "pk" else model._meta.get_field(name) for name in names)


@cache
def _update_statement(model: type[Model], names: tuple[str, ...]) -> str:
    changes = ", ".join(f"{field.column} = %s" for field in _columns(model, names))
    return f"UPDATE {model._meta.db_table} SET {changes} WHERE {model._meta.pk.column} = %s"


def cast(field: Any) -> str:
    """Return a parameter with the column's type, for PostgreSQL, where it cannot tell the type."""
    return f"%s::{field.db_type(connection).partition('(')[0]}"


def _prepared(row: Model, chosen: tuple[Any, ...]) -> list[Any]:
    database = connections[DEFAULT_DB_ALIAS]  # once, because each access to `connection` looks it up again
    return [_value(getattr(row, field.attname), field, database) for field in chosen]


def _value(value: Any, field: Any, database: Any) -> Any:
    if type(value) is PLAIN_TYPES.get(type(field)):
        return value
    return field.get_db_prep_save(value, database)
