"""Every end reason has a remedy for staff."""

from __future__ import annotations

import pytest

from sessions.labels import remedy_texts
from sessions.lifecycle import end_evidence, no_picture_texts
from sessions.models import EndReason


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_end_reason_has_a_remedy(reason: EndReason) -> None:
    assert remedy_texts.remedy(reason, {"code": "person"})


def test_evidence_makes_the_remedy_more_specific() -> None:
    """Requirement 65: a missing track is a fault of the provider's session."""
    assert set(remedy_texts.BY_EVIDENCE) <= set(end_evidence.EVIDENCE_TEXTS)
    assert "sesión del proveedor" in remedy_texts.remedy(EndReason.NO_PICTURE, {"code": "no_picture_track"})
    assert "relay" in remedy_texts.remedy(EndReason.NO_PICTURE, end_evidence.gave_up("network"))
    assert set(remedy_texts.BY_VERDICT) <= set(no_picture_texts.causes(""))
