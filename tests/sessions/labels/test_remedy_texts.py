"""Every end has its remedy for staff."""

from __future__ import annotations

import pytest

from sessions.labels import remedy_texts
from sessions.lifecycle import end_evidence, no_picture_texts
from sessions.models import EndReason


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_reason_says_what_to_do_about_it(reason: EndReason) -> None:
    assert remedy_texts.remedy(reason, {"code": "person"})


def test_the_evidence_sharpens_the_remedy_and_names_whose_fault_it_is() -> None:
    """Requirement 65: no track at all is the provider's session's fault."""
    assert set(remedy_texts.BY_EVIDENCE) <= set(end_evidence.WORDS)
    assert "sesión del proveedor" in remedy_texts.remedy(EndReason.NO_PICTURE, {"code": "no_picture_track"})
    assert "relay" in remedy_texts.remedy(EndReason.NO_PICTURE, end_evidence.gave_up("network"))
    assert set(remedy_texts.BY_VERDICT) <= set(no_picture_texts.causes(""))
