"""The table of branches that no daily test takes."""

from __future__ import annotations

import pytest

from bench._uncovered import UNCOVERED, Uncovered
from local.paths import ROOT


@pytest.mark.parametrize("entry", UNCOVERED, ids=lambda entry: f"{entry.path}: {entry.line}")
def test_an_uncovered_branch_still_exists(entry: Uncovered) -> None:
    lines = [line.strip() for line in (ROOT / entry.path).read_text().splitlines()]
    assert entry.line in lines
    name = entry.function.rpartition(".")[2]
    assert any(line.removeprefix("async ").startswith(f"def {name}(") for line in lines)
