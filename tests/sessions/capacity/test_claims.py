"""Which renewals are served before people who wait."""

from __future__ import annotations

import pytest
from django.utils import timezone

from sessions.capacity import claims
from sessions.capacity.claims import Claim
from sessions.models import EndReason, LimitBy, Status
from tests.support.factories import StreamingSessionFactory


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("reason", "limit_by", "keeps_slot"),
    [
        (EndReason.NO_PICTURE, LimitBy.PERSONA, True),
        (EndReason.PROVIDER_ENDED, LimitBy.PERSONA, True),
        (EndReason.DURATION_LIMIT, LimitBy.PROVIDER, True),
        (EndReason.DURATION_LIMIT, LimitBy.PERSONA, False),
        (EndReason.USER_STOPPED, LimitBy.PERSONA, False),
    ],
)
def test_a_session_that_is_being_stopped_keeps_its_slot_after_a_fault_only(
    reason: EndReason, limit_by: LimitBy, keeps_slot: bool
) -> None:
    """The reason is the stored one, whatever the page claims."""
    session = StreamingSessionFactory.create(status=Status.STOPPING, end_reason=reason, limit_by=limit_by)
    claim = Claim(session.owner_id, EndReason.NO_PICTURE)
    assert claims.keeps_slot(session, claim, timezone.now()) is keeps_slot
    assert claims.end_cause(session, claim, timezone.now()).reason == reason
