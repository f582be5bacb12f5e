"""The two databases for tests that run on both."""

from __future__ import annotations

import pytest

# Parameters of a fixture. On PostgreSQL a test is a proof, unless it is marked `both_databases`.
BOTH = ("sqlite", pytest.param("postgres", marks=pytest.mark.second_database))


def demote(items: list[pytest.Item]) -> None:
    """Mark runs on the second database as proofs.

    Tests marked `both_databases` are excepted.
    """
    for item in items:
        if item.get_closest_marker("second_database") and not item.get_closest_marker("both_databases"):
            item.add_marker("proof")
