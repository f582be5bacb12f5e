"""Times in transcripts whose unit is undocumented."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

UNITS = (timedelta(seconds=1), timedelta(milliseconds=1))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Longer than any session plus the difference of two clocks.
MAX_CLOCK_OFFSET = timedelta(days=1)


def parse_times(numbers: Sequence[float], started_at: datetime | None) -> list[datetime | None]:
    """Convert Unix times in seconds or milliseconds.

    The unit is the one that brings them near the start.

    Return None for each if neither unit fits.
    """
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
