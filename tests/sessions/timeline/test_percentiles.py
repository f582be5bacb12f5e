"""Median and 95th percentile of measured durations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sessions.timeline.percentiles import median, p95


def seconds(*values: float) -> list[timedelta]:
    return [timedelta(seconds=value) for value in values]


@pytest.mark.parametrize(
    ("measured", "middle"),
    [((), None), ((3,), 3), ((1.97, 0.018), 0.994), ((9, 1, 2), 2), ((4, 1, 9, 2), 3)],
)
def test_median_of_an_even_number_of_values_is_the_mean_of_the_middle_two(
    measured: tuple[float, ...], middle: float | None
) -> None:
    assert median(seconds(*measured)) == (None if middle is None else timedelta(seconds=middle))


def test_few_values_have_no_95th_percentile() -> None:
    assert p95(seconds(1, 2, 3, 4)) is None
    assert p95(seconds(5, 1, 2, 3, 4)) == timedelta(seconds=5)
    assert p95(seconds(*range(1, 101))) == timedelta(seconds=95)
