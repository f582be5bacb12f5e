"""Handwritten INSERT statements.

Django takes longer to build one than the database takes to run it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Model


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
    return [value(row, field) for field in fields(type(row), with_key=with_key)]


def value(row: Model, field: Any) -> Any:
    return field.get_db_prep_save(getattr(row, field.attname), connection)
