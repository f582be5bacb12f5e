"""Admin lists that stay fast on large tables."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, cast

from django.db import connection
from django.db.models import QuerySet

from heygen_portal.runtime.generics import AnyPaginator


class EstimatingPaginator(AnyPaginator):
    """Counts exactly up to EXACT rows; beyond that it uses PostgreSQL's estimate."""

    EXACT = 1000

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list).order_by().values("pk")
        if connection.vendor != "postgresql":
            return rows.count()
        few = rows[: self.EXACT + 1].count()
        return few if few <= self.EXACT else max(few, _estimated(rows))

    @property
    def is_estimated(self) -> bool:
        return connection.vendor == "postgresql" and self.count > self.EXACT

    @property
    def template_name(self) -> str:
        """Template of the row count, which the theme includes."""
        return "admin/about_so_many.html" if self.is_estimated else ""


def _estimated(rows: QuerySet[Any]) -> int:
    plan = json.loads(rows.explain(format="json"))
    return int(plan[0]["Plan"]["Plan Rows"])


class UncountedList:
    """Mixin for large tables: estimates counts and omits the unfiltered count."""

    paginator = EstimatingPaginator
    show_full_result_count = False
