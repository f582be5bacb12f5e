"""The daily share of a test's cases."""

from __future__ import annotations

import pytest

from tests.support.daily import chosen


@pytest.mark.parametrize(
    ("cases", "count", "numbers"),
    [(1, 2, {0}), (2, 2, {0, 1}), (9, 1, {0}), (9, 2, {0, 8}), (9, 3, {0, 4, 8}), (5, 4, {0, 1, 3, 4})],
)
def test_the_share_is_spread_from_the_first_case_to_the_last(cases: int, count: int, numbers: set[int]) -> None:
    assert chosen(cases, count) == numbers
