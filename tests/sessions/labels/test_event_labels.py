"""Titles and details of events, and anomalies, as auditors read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import translation

from sessions.labels import event_labels
from sessions.timeline import timeline
from sessions.timeline.moments import BROWSER, PORTAL, Moment

BEGAN = datetime(2026, 1, 20, 14, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def in_english() -> None:
    translation.activate("en")


def moment(kind: str, at: float, source: str = BROWSER, /, **data: Any) -> Moment:
    return Moment(BEGAN + timedelta(seconds=at), source, kind, data)


def status(before: str, to: str, at: float, /, **data: Any) -> Moment:
    return moment("status", at, PORTAL, **{"from": before, "to": to, **data})


@pytest.mark.parametrize(("kind", "name"), [("verdict", "code"), ("waiting", "because")])
def test_a_cause_is_named_in_words_or_shown_as_reported(kind: str, name: str) -> None:
    assert "network" in event_labels.details(moment(kind, 1, **{name: "network"}), "Lucía").lower()
    assert event_labels.details(moment(kind, 1, **{name: "new_code"}), "Lucía") == "new_code"


@pytest.mark.parametrize(
    ("moments", "words"),
    [
        ([status("connecting", "live", 1)], "It became live without a first frame being reported."),
        (
            [status("", "creating", 0), status("live", "stopping", 1, reason="idle")],
            "Its status changed from “creating” to “stopping”",
        ),
        ([status("stopping", "ended", 1)], "It ended without a reason."),
        (
            [status("stopping", "ended", 1, reason="idle"), status("stopping", "ended", 2, reason="idle")],
            "It ended twice.",
        ),
        (
            [moment("room_connected", 1), moment("requested", 9, PORTAL)],
            "“Browser joined the room” was recorded before “Session requested”, but must follow it.",
        ),
        (
            [status("stopping", "ended", 1, reason="idle"), moment("first_frame", 30)],
            "the room was still active: “First frame shown”",
        ),
    ],
)
def test_an_anomaly_is_explained_in_words(moments: list[Moment], words: str) -> None:
    numbered = [Moment(each.at, each.source, each.kind, each.data, number=n) for n, each in enumerate(moments, 1)]
    found = [event_labels.anomaly(anomaly) for anomaly in timeline.build(numbered, BEGAN).anomalies]
    assert any(words in text for text in found), found


def test_a_silence_states_its_seconds_and_a_gap_its_numbers() -> None:
    asked = [moment("user_start", 1), moment("user_stop", 2), moment("room_disconnected", 40)]
    numbered = [
        Moment(each.at, each.source, each.kind, each.data, number=n) for n, each in zip((1, 2, 5), asked, strict=True)
    ]
    found = [event_labels.anomaly(anomaly) for anomaly in timeline.build(numbered, BEGAN).anomalies]
    assert any("is missing" in text or "are missing" in text for text in found), found
    assert any("was silent for" in text for text in found), found
