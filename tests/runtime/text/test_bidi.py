from __future__ import annotations

import pytest

from heygen_portal.runtime.text import bidi


@pytest.mark.parametrize("name", ["دانا", "דנה", "Dana (דנה)"])
def test_a_name_that_runs_from_right_to_left_leaves_its_sentence_in_order(name: str) -> None:
    assert bidi.isolated(name) == f"\u2068{name}\u2069"


@pytest.mark.parametrize("name", ["Lucía", "天気", "", "7"])
def test_any_other_name_is_left_as_it_is(name: str) -> None:
    assert bidi.isolated(name) == name
