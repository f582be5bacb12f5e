"""Moments of a provider's transcript whose unit nobody documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

UNITS = (timedelta(seconds=1), timedelta(milliseconds=1))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_CLOCK_OFFSET = timedelta(days=1)
"""No session lasts longer, and no two clocks are further apart."""


def parse_times(numbers: Sequence[float], started_at: datetime | None) -> list[datetime | None]:
    """Return the parse_times that these numbers name, counted since 1970 in whichever unit puts them near the start."""
    if started_at is None:
        return [None] * len(numbers)
    for unit in UNITS:
        try:
            times = [EPOCH + number * unit for number in numbers]
        except OverflowError:
            continue
        if all(abs(time - started_at) <= MAX_CLOCK_OFFSET for time in times):
            return list(times)
    return [None] * len(numbers)
