"""Rows of a job, each handled by itself: a row that fails is logged, and the others are still handled."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Model, QuerySet

from heygen_portal.redis import marks

Row = TypeVar("Row", bound=Model)

logger = logging.getLogger(__name__)


def is_outage(exc: Exception) -> bool:
    """Whether the database is unavailable or busy, so that the same call may succeed later.

    SQLite raises the same exception if one of Django's functions cannot compute with a value.
    """
    return isinstance(exc, (OperationalError, InterfaceError)) and "user-defined function" not in str(exc)


@contextmanager
def savepoint(message: str) -> Iterator[None]:
    """Undo and log a failure of the block, so that the transaction around it continues.

    `message` names the row. Raises only if the database is unavailable or busy.
    """
    try:
        with transaction.atomic():
            yield
    except Exception as exc:
        if is_outage(exc):
            raise
        logger.exception("%s", message)


@contextmanager
def log_failure(message: str) -> Iterator[None]:
    """Log an exception with `message`, which names the row, and continue after the block.

    A cancellation is raised. Do not use it around statements of a transaction that continues.
    """
    try:
        yield
    except Exception:
        logger.exception("%s", message)


def readable(rows: QuerySet[Row], count: int | None = None) -> list[Row]:
    """Return the rows, or the first `count`, without those that cannot be read.

    A column changed in the database may have a value that Python cannot represent.
    """
    try:
        with transaction.atomic():
            return list(rows[:count])
    except Exception:
        name = rows.model._meta.label
        logger.exception("%s: the rows could not be read together", name)
    found: list[Row] = []
    for pk in list(rows.values_list("pk", flat=True)[:count]):
        is_read = False
        with log_failure(f"{name} {pk} could not be read"), transaction.atomic():
            found += rows.filter(pk=pk)
            is_read = True
        if not is_read:
            marks.put(marks.UNREADABLE)  # /health/work reads its age
    return found
