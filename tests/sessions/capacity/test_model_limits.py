"""What models may still cost beside the time that running sessions are promised."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from sessions.capacity import model_limits, slots
from tests.support.factories import PersonaFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


def test_answers_leave_other_sessions_what_they_were_promised() -> None:
    """A cap of 6 credits at 0.2 a minute: the first session is promised 20 minutes, the second the other 10."""
    persona = PersonaFactory.create(
        published=True, avatar__account__monthly_cap=Decimal(6), avatar__account__credits_per_minute=Decimal("0.2")
    )
    first = slots.open_session(UserFactory.create().pk, str(persona.slug))
    account, now = first.account, first.created_at
    assert model_limits.left_for_models(account, now) == Decimal(2)
    assert model_limits.left_for_models(account, now, first) == Decimal(6)
    second = slots.open_session(UserFactory.create().pk, str(persona.slug))
    now = second.created_at
    for session, left in ((None, 0), (first, 4), (second, 2)):
        found = model_limits.left_for_models(account, now, session)
        assert found is not None
        assert float(found) == pytest.approx(left, abs=0.01)
    account.monthly_cap = None
    assert model_limits.left_for_models(account, now + timedelta(minutes=1)) is None
