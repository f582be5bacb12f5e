"""Data of events as auditors read it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from heygen_portal.runtime.stored_json import DamagedObject
from sessions.labels import readable_data

ROWS = "rows"


@pytest.fixture(autouse=True)
def in_english() -> None:
    translation.activate("en")


def test_data_that_is_no_object_is_shown_as_damaged() -> None:
    """It can only come from a change in the database."""
    assert readable_data.as_list(DamagedObject('[1, "<b>"]')) == "damaged: [1, &quot;&lt;b&gt;&quot;]"


def test_lists_and_objects_are_nested_up_to_a_depth() -> None:
    shown = readable_data.as_list({"parts": [{"n": 1}, {"n": 2}], "codes": ["a", "b"], "none": [], "no": {}})
    assert shown.count("<ul") == 4  # the data, the list, and an object for each part
    assert "a, b" in shown
    assert shown.count("–") == 2
    deep: Any = "end"
    for _ in range(20):
        deep = {"in": deep}
    assert readable_data.as_list({"deep": deep}).count("<ul") == readable_data.MAX_DEPTH


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("wasted", 61_000_000, "1 min 01 s"),
        ("estimated", "1.2500", "1.25"),
        ("estimated", "many", "many"),
        ("estimated", None, "–"),
        ("day", "2026-01-20", "Jan. 20, 2026"),
        ("day", "yesterday", "yesterday"),
        ("answers_ms", [1, 2], "fingerprint"),
        ("no_such_column", {"n": 1}, "<ul"),
    ],
)
def test_a_stated_value_is_shown_as_its_column_is(column: str, value: Any, shown: str) -> None:
    assert shown in readable_data.as_list({ROWS: {"total": {"": {column: value}}}})


def test_statements_that_are_not_understood_are_shown_as_stored() -> None:
    shown = readable_data.as_list({ROWS: {"no_such_table": {"1": {"n": 1}}, "line": "nothing"}})
    assert "no_such_table" in shown.lower().replace(" ", "_")
    assert "nothing" in shown
