"""Rows that are due, taken by one worker at a time: the database is the queue."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def unlocked(rows: QuerySet[Row]) -> QuerySet[Row]:
    """Lock the rows for the rest of the transaction, and leave out those that another worker has locked."""
    return rows.select_for_update(skip_locked=True, of=("self",))


def claim(rows: QuerySet[Row], count: int, **until: Any) -> list[Row]:
    """Take the first `count` rows that no other worker holds, and postpone them.

    `until` is the column that makes a row due, and when it is next: a worker that dies loses nothing but that time.
    """
    with transaction.atomic():
        taken = list(unlocked(rows)[:count])
        rows.model._default_manager.filter(pk__in=[row.pk for row in taken]).update(**until)
    return taken
