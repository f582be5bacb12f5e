"""Every end has its remedy for staff."""

from __future__ import annotations

import pytest

from sessions import reasons, remedies, verdicts
from sessions.models import EndReason


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_reason_says_what_to_do_about_it(reason: EndReason) -> None:
    assert remedies.remedy(reason, {"code": "person"})


def test_the_evidence_sharpens_the_remedy_and_names_whose_fault_it_is() -> None:
    """Requirement 65: no track at all is the provider's session's fault."""
    assert set(remedies.BY_EVIDENCE) <= set(reasons.WORDS)
    assert "sesión del proveedor" in remedies.remedy(EndReason.NO_PICTURE, {"code": "no_picture_track"})
    assert "relevo" in remedies.remedy(EndReason.NO_PICTURE, reasons.gave_up("network"))
    assert set(remedies.BY_VERDICT) <= set(verdicts.causes(""))
