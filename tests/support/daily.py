"""Which tests run every day, and which are proofs for `bin/bench proofs`."""

from __future__ import annotations

from collections import defaultdict

import pytest

# Of the cases of one attack, so many run every day: the first and the last, which usually differ most.
CASES_OF_AN_ATTACK = 2


def demote(items: list[pytest.Item]) -> None:
    """Mark as proofs the runs on the second database, and the further cases of an attack.

    Tests marked `both_databases` run on both databases every day. `daily(n)` sets another number of cases.
    """
    for item in items:
        if item.get_closest_marker("second_database") and not item.get_closest_marker("both_databases"):
            item.add_marker("proof")
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if not item.get_closest_marker("proof"):
            cases[item.nodeid.partition("[")[0]].append(item)
    for test, found in cases.items():
        share = found[0].get_closest_marker("daily")
        if share is None and not test.startswith("tests/attacks/"):
            continue
        every_day = chosen(len(found), share.args[0] if share else CASES_OF_AN_ATTACK)
        for number, item in enumerate(found):
            if number not in every_day:
                item.add_marker("proof")


def chosen(cases: int, count: int) -> set[int]:
    """Return the numbers of `count` cases, evenly from the first to the last."""
    if cases <= count:
        return set(range(cases))
    return {round(number * (cases - 1) / max(count - 1, 1)) for number in range(count)}
