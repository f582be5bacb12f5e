"""The clock that the processes of all machines share: the database server's.

Deadlines, leases and grace periods are written by one process and judged by another. With the clocks of two machines
20 s apart, tabs of one seem gone to the other.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

logger = logging.getLogger(__name__)

MEASURE_AFTER_S = 10.0
MAX_MEASURING = timedelta(seconds=0.5)
"""A slower answer says too little about the server's time."""
IGNORED = timedelta(seconds=0.5)
"""Smaller differences are left as they are: they are shorter than the time between two ticks."""


class _Difference:
    """By how much this machine's clock is behind the server's."""

    def __init__(self) -> None:
        self.is_followed = False
        self.value = timedelta(0)
        self.measured_at: float | None = None


_difference = _Difference()


def now() -> datetime:
    """Return the time by the shared clock. On SQLite, and until it was measured, that is the machine's own."""
    return timezone.now() + _difference.value


def follow() -> None:
    """Let this process follow the server's clock from the next `measure`. Processes that only read do not need it."""
    _difference.is_followed = True


def measure() -> None:
    """Measure the difference, at most once in `MEASURE_AFTER_S`. Call it in a thread for the database."""
    last = _difference.measured_at
    if not _difference.is_followed or connection.vendor != "postgresql":
        return
    if last is not None and time.monotonic() - last < MEASURE_AFTER_S:
        return
    before = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [at_server] = cursor.fetchone()
    took = timezone.now() - before
    _difference.measured_at = time.monotonic()
    if not timedelta(0) <= took <= MAX_MEASURING:
        return
    behind = at_server - (before + took / 2)
    value = behind if abs(behind) > IGNORED else timedelta(0)
    if abs(value - _difference.value) > IGNORED:
        logger.warning("this machine's clock differs from the database's by %.1f s", -value.total_seconds())
    _difference.value = value
