"""Percentiles of durations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from math import ceil


def percentile(measured: Iterable[timedelta], share: float) -> timedelta | None:
    """Return the smallest measurement that this share does not exceed.

    Returns None without measurements.
    """
    ordered = sorted(measured)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None
