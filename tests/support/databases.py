"""The two databases for tests that run on both."""

from __future__ import annotations

import pytest

# Parameters of a fixture. On PostgreSQL a test is a proof, unless it is marked `both_databases`.
BOTH = ("sqlite", pytest.param("postgres", marks=pytest.mark.second_database))
