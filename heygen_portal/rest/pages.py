"""Lists in pages. A cursor names the last row of a page, so that rows added meanwhile change nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from ninja import Field, Schema
from pydantic import StringConstraints

from heygen_portal.rest.problems import Problem

T = TypeVar("T")
MAX_ROWS, DEFAULT_ROWS = 200, 50


# Letters of base64url, see _encode().
Cursor = Annotated[str, StringConstraints(max_length=400, pattern=r"^[-_A-Za-z0-9]*$")]


class PageQuery(Schema):
    """The query parameters of every list."""

    limit: int = Field(DEFAULT_ROWS, ge=1, le=MAX_ROWS, description="Rows on the page.")
    cursor: Cursor = Field("", description="The `next_cursor` of the page before. Empty for the first page.")


class Page(Schema, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last page.")


def read(rows: QuerySet[Any], query: PageQuery, *, by: str = "created_at", newest_first: bool = True) -> Any:
    """Return the rows of a page, and the cursor of the next one.

    `by` is a column that orders the rows; the key orders rows with the same value. Raises Problem for a cursor that no
    answer contained.
    """
    sign, compare = ("-", "lt") if newest_first else ("", "gt")
    rows = rows.order_by(*([f"{sign}{by}"] if by != "pk" else []), f"{sign}pk")
    if query.cursor:
        rows = rows.filter(_behind(_decode(query.cursor, rows, by), by, compare))
    found = list(rows[: query.limit + 1])
    page, has_more = found[: query.limit], len(found) > query.limit
    return page, _encode(page[-1], by) if has_more else None


def _behind(last: tuple[Any, Any], by: str, compare: str) -> Q:
    value, pk = last
    if by == "pk":
        return Q(**{f"pk__{compare}": pk})
    return Q(**{f"{by}__{compare}": value}) | Q(**{by: value, f"pk__{compare}": pk})


def _encode(row: Any, by: str) -> str:
    value = getattr(row, by)
    parts = [value.isoformat() if isinstance(value, datetime) else str(value), str(row.pk)]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def _decode(cursor: str, rows: QuerySet[Any], by: str) -> tuple[Any, Any]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts: Sequence[str] = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        value, pk = map(str, parts)
        field = rows.model._meta.pk if by == "pk" else rows.model._meta.get_field(by)
        return field.to_python(value), rows.model._meta.pk.to_python(pk)
    except Exception as exc:  # whatever is wrong with it, no answer contained it
        raise Problem(404, "invalid_cursor", _("This is not a cursor that the portal has returned.")) from exc
