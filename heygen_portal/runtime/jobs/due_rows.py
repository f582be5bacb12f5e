"""Due rows, each claimed by one worker at a time. The database is the queue."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def lock_unclaimed(rows: QuerySet[Row]) -> QuerySet[Row]:
    """Lock the rows until the transaction ends.

    Skip rows that another worker has locked.
    """
    return rows.select_for_update(skip_locked=True, of=("self",))


def claim(rows: QuerySet[Row], count: int, **postponed: Any) -> list[Row]:
    """Claim the first `count` rows that no other worker holds, and postpone them.

    `postponed` is the column that makes a row due, with its next time. A crashed worker only delays its rows until
    then.
    """
    with transaction.atomic():
        claimed = list(lock_unclaimed(rows)[:count])
        rows.model._default_manager.filter(pk__in=[row.pk for row in claimed]).update(**postponed)
    return claimed
