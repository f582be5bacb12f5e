"""The places that `bin/bench mutants` breaks, and the tests that should notice."""

from __future__ import annotations

import pytest

from bench._mutants import MUTANTS, Mutant
from local.paths import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutants_place_and_tests_still_exist(mutant: Mutant) -> None:
    assert (ROOT / mutant.path).read_text().count(mutant.before) == 1
    for test in mutant.tests:
        path, _, name = test.partition("::")
        files = list(ROOT.glob(path))
        assert files
        assert not name or f"def {name}(" in files[0].read_text()


def test_mutants_have_different_names() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
