"""Due rows, each claimed by one worker at a time. The database is the queue."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet

from heygen_portal.runtime.jobs import each_row

Row = TypeVar("Row", bound=Model)


def lock_unclaimed(rows: QuerySet[Row]) -> QuerySet[Row]:
    """Lock the rows until the transaction ends.

    Skip rows that another worker has locked.
    """
    return rows.select_for_update(skip_locked=True, of=("self",))


def claim(rows: QuerySet[Row], count: int, **postponed: Any) -> list[Row]:
    """Claim the first `count` rows that no other worker holds, and postpone them.

    `postponed` is the column that makes a row due, with its next time. A crashed worker only delays its rows until
    then. Rows that cannot be read are postponed too and not returned.
    """
    with transaction.atomic():
        keys = [row.pk for row in lock_unclaimed(rows.select_related(None).only("pk"))[:count]]
        claimed = each_row.readable(rows.filter(pk__in=keys))
        rows.model._default_manager.filter(pk__in=keys).update(**postponed)
    return claimed
