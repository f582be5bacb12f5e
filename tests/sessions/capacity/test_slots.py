from __future__ import annotations

import pytest

from sessions import errors
from sessions.capacity import slots
from sessions.lifecycle import transitions
from sessions.models import EndReason, Status
from tests.support.factories import WHY, PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_a_draft_persona_cannot_be_started() -> None:
    with pytest.raises(errors.NotFound):
        slots.open_session(UserFactory.create().pk, PersonaFactory.create().slug)


def test_an_unknown_persona_is_not_found() -> None:
    with pytest.raises(errors.NotFound):
        slots.open_session(UserFactory.create().pk, "nobody")


def test_a_second_running_session_is_refused() -> None:
    session = StreamingSessionFactory.create(status=Status.LIVE)
    persona = PersonaFactory.create(published=True)
    with pytest.raises(errors.SessionRunning):
        slots.open_session(session.user_id, persona.slug)


def test_an_account_gives_no_more_slots_than_its_plan_has() -> None:
    persona = PersonaFactory.create(published=True, avatar__account__concurrency_limit=2)
    first = slots.open_session(UserFactory.create().pk, persona.slug)
    slots.open_session(UserFactory.create().pk, persona.slug)
    with pytest.raises(errors.ProviderLimit):
        slots.open_session(UserFactory.create().pk, persona.slug)
    transitions.begin_stop(first, EndReason.USER_STOPPED, WHY)
    with pytest.raises(errors.ProviderLimit):  # not confirmed by the provider: the slot is still taken there
        slots.open_session(UserFactory.create().pk, persona.slug)
    transitions.end(first)
    assert slots.open_session(UserFactory.create().pk, persona.slug)
