"""Moments of a provider's transcript whose unit nobody documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

UNITS = (timedelta(seconds=1), timedelta(milliseconds=1))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLAUSIBLE = timedelta(days=1)
"""No session lasts longer, and no two clocks are further apart."""


def moments(told: Sequence[float], started_at: datetime | None) -> list[datetime | None]:
    """Return the moments that these numbers name, counted since 1970 in whichever unit puts them near the start."""
    if started_at is None:
        return [None] * len(told)
    for unit in UNITS:
        try:
            read = [EPOCH + number * unit for number in told]
        except OverflowError:
            continue
        if all(abs(moment - started_at) <= PLAUSIBLE for moment in read):
            return list(read)
    return [None] * len(told)
