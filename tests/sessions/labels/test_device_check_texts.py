"""Staff read the result of a device check in the session's record."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from sessions.labels import device_check_texts, event_labels
from sessions.timeline.moments import Moment

CHECKS_SCRIPT = Path(__file__).parents[3] / "sessions" / "static" / "sessions" / "device-check" / "checks.js"
ROUTE = {"local": "relay", "remote": "host", "protocol": "udp", "round_trip_ms": 12}
FINE = {"secure": "ok fine", "udp": "ok fine", "turn": "skipped none", **ROUTE}


def device_check(**found: Any) -> Moment:
    return Moment(number=1, at=datetime(2026, 1, 10, tzinfo=UTC), source="browser", kind="check", data=FINE | found)


@pytest.mark.parametrize(
    ("found", "words", "weight"),
    [
        ({}, "no problems found, relay → host · UDP · 12 ms", "minor"),
        ({"microphone": "warn refused", "tcp": "bad blocked"}, "microphone: refused, TCP: blocked, relay", ""),
        (
            {"local": "", "round_trip_ms": None, "way": "host → host · TCP"},
            "no problems found, host → host · TCP",
            "minor",
        ),
        ({"local": 3, "way": 3, "secure": ["bad"], "mood": "bad"}, "no problems found", "minor"),
    ],
)
def test_staff_read_the_result_of_a_device_check(found: dict[str, Any], words: str, weight: str) -> None:
    """Requirements 58, 59 and 70; complaint 8."""
    moment = device_check(**found)
    with translation.override("en"):
        assert event_labels.details(moment, "Lucía").startswith(words)
    assert event_labels.weight(moment) == weight


def test_every_check_and_problem_has_a_text() -> None:
    source = CHECKS_SCRIPT.read_text()
    listed = re.search(r"CHECKS = .*?\(\[(.*?)\]\)", source)
    assert listed
    assert re.findall(r'"(\w+)"', listed[1]) == list(device_check_texts.CHECKS)
    codes = set(re.findall(r'code: "(\w+)"', source)) | {"refused", "absent", "busy"}  # codes of the microphone
    assert codes - set(device_check_texts.OK_CODES) <= set(device_check_texts.PROBLEM_TEXTS)
