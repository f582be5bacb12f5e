from __future__ import annotations

from dataclasses import replace

import pytest

from heygen_portal.providers.contract.provider import Quality
from heygen_portal.providers.heygen.provider import HeyGen
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
        slots.open_session(session.owner_id, persona.slug)


def test_a_user_whose_own_session_has_the_last_slot_is_offered_it_instead_of_a_queue() -> None:
    session = StreamingSessionFactory.create(status=Status.LIVE, persona__avatar__account__concurrency_limit=1)
    persona = PersonaFactory.create(published=True, avatar__account=session.account)
    with pytest.raises(errors.SessionRunning):
        slots.open_session(session.owner_id, persona.slug)


def test_a_quality_that_the_provider_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeyGen, "capabilities", replace(HeyGen.capabilities, qualities=(Quality.LOW,)))
    person, slug = UserFactory.create().pk, PersonaFactory.create(published=True).slug
    with pytest.raises(errors.BadMessage):
        slots.open_session(person, slug, slots.StartRequest(quality=Quality.HIGH))
    assert slots.open_session(person, slug, slots.StartRequest(quality=Quality.LOW))


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
