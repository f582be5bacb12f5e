"""Percentiles of durations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from math import ceil

# Of fewer values, the 95th percentile is only the largest one.
MIN_VALUES_FOR_P95 = 5


def median(measured: Iterable[timedelta]) -> timedelta | None:
    """Return the middle value or, of an even number, the mean of the two middle ones.

    Returns None without values.
    """
    ordered = sorted(measured)
    if not ordered:
        return None
    upper = len(ordered) // 2
    return ordered[upper] if len(ordered) % 2 else (ordered[upper - 1] + ordered[upper]) / 2


def p95(measured: Iterable[timedelta]) -> timedelta | None:
    """Return the 95th percentile, or None with too few values.

    It is the smallest value that 95 % of the values do not exceed.
    """
    ordered = sorted(measured)
    return ordered[ceil(0.95 * len(ordered)) - 1] if len(ordered) >= MIN_VALUES_FOR_P95 else None
