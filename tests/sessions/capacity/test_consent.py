"""The notice before a conversation, and its acceptance where staff require one."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from avatars.models import ModelService, Persona
from heygen_portal.models import Organisation
from heygen_portal.people.organisation import changes
from heygen_portal.trail.change_log import SERVER
from heygen_portal.trail.models import AuditEntry
from sessions import errors
from sessions.capacity import consent, slots
from sessions.capacity.notice import notice_for
from sessions.capacity.slots import StartRequest
from sessions.integrity import audit_statements, verification
from sessions.lifecycle import transitions
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import Consent, EndReason, Purpose, SessionEvent, StreamingSession
from tests.sessions.tabs import a_person, browser
from tests.support.factories import WHY, EndUserFactory, ModelServiceFactory, PersonaFactory

CONSENT_KINDS = (EventKind.CONSENT_ACCEPTED, EventKind.CONSENT_IN_FORCE, EventKind.CONSENT_WITHDRAWN)


def set_organisation(**fields: Any) -> None:
    organisation = Organisation.objects.get()
    for name, value in fields.items():
        setattr(organisation, name, value)
    changes.store(organisation, SERVER)


def published(**fields: Any) -> Persona:
    persona: Persona = PersonaFactory.create(published=True, **fields)
    return persona


def person() -> User:
    user: User = EndUserFactory.create()
    return user


def start(user: User, persona: Persona, **request: Any) -> StreamingSession:
    return slots.open_session(user.pk, persona.slug, StartRequest(**request))


def end(session: StreamingSession) -> None:
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)


def notice_of(persona: Persona) -> str:
    """Return the fingerprint of the notice as the page would show it now."""
    return notice_for(Persona.objects.get(pk=persona.pk)).fingerprint


def consent_events(session: StreamingSession) -> list[tuple[str, Any]]:
    rows = SessionEvent.objects.filter(session=session, kind__in=CONSENT_KINDS).order_by("number")
    return [(event.kind, event.data["version"]) for event in rows]


@pytest.fixture
def asking(db: None) -> Persona:
    """Return a persona that asks for consent."""
    return published(requires_consent=True)


@pytest.mark.parametrize("by", ["organisation", "persona"])
@pytest.mark.django_db
def test_a_start_is_refused_without_the_present_notice_and_recorded_with_it(by: str) -> None:
    persona, user = published(requires_consent=by == "persona"), person()
    set_organisation(requires_consent=by == "organisation")
    for accepted in ("", "0" * 64, notice_of(published(language="en"))):
        with pytest.raises(errors.ConsentNeeded) as refusal:
            start(user, persona, accepts=accepted)
        assert refusal.value.details == {"notice": notice_of(persona)}
    assert not StreamingSession.objects.exists()
    session = start(user, persona, accepts=notice_of(persona))
    accepted_notice = Consent.objects.get()
    assert (accepted_notice.session, accepted_notice.user, accepted_notice.language) == (session, user, "es")
    assert "Hablas con una IA" in accepted_notice.text
    assert consent_events(session) == [(EventKind.CONSENT_ACCEPTED, 1)]
    assert list(verification.faults_of(session.pk)) == []


@pytest.mark.django_db
def test_nothing_is_required_unless_staff_say_so() -> None:
    session = start(person(), published())
    assert (consent_events(session), Consent.objects.exists()) == ([], False)


def test_an_acceptance_counts_for_later_conversations_until_the_notice_changes(asking: Persona) -> None:
    user = person()
    end(first := start(user, asking, accepts=notice_of(asking)))
    end(second := start(user, asking))
    assert consent_events(second) == [(EventKind.CONSENT_IN_FORCE, 1)]
    known = SessionEvent.objects.get(session=second, kind=EventKind.CONSENT_IN_FORCE).data
    assert known["session"] == str(first.pk)
    assert consent.still_required(asking, person().pk)  # of another person
    set_organisation(terms_url="https://example.org/terms")
    with pytest.raises(errors.ConsentNeeded):
        start(user, asking)
    # The conversation that began under the earlier version goes on without a question.
    end(renewal := start(user, asking, continues=second.pk))
    assert consent_events(renewal) == [(EventKind.CONSENT_IN_FORCE, 1)]
    assert consent_events(start(user, asking, accepts=notice_of(asking))) == [(EventKind.CONSENT_ACCEPTED, 2)]


@pytest.mark.parametrize(
    "change",
    [
        lambda persona: Persona.objects.filter(pk=persona.pk).update(speech_days=90),
        lambda persona: type(persona.avatar.account).objects.update(rooms="own"),
        lambda persona: type(persona.avatar.account).objects.update(kind="liveavatar"),
        lambda persona: set_organisation(consent_texts={"es": "Acepto."}),
        lambda persona: set_organisation(name="Ayuntamiento"),
    ],
    ids=["days kept", "who may watch", "provider", "text", "organisation"],
)
def test_a_notice_that_says_something_else_must_be_accepted_again(asking: Persona, change: Any) -> None:
    before = notice_of(asking)
    change(asking)
    assert notice_of(asking) != before


def test_the_notice_names_the_model_service_and_another_one_must_be_accepted_again(asking: Persona) -> None:
    before = notice_of(asking)
    service = ModelServiceFactory.create(name="Acme", base_url="https://models.example.com/v1")
    Persona.objects.update(model_service=service)  # the provider's model still answers
    assert notice_of(asking) == before
    Persona.objects.update(brain="own")
    notice = notice_for(Persona.objects.get(pk=asking.pk))
    assert "Acme (models.example.com)" in notice.text
    user = person()
    end(start(user, asking, accepts=notice.fingerprint))
    assert "Acme (models.example.com)" in Consent.objects.get().text
    end(start(user, asking))  # what was accepted still counts
    ModelService.objects.update(base_url="https://other.example.org/v1")
    with pytest.raises(errors.ConsentNeeded):
        start(user, asking)


def test_what_was_withdrawn_no_longer_counts(asking: Persona) -> None:
    user = person()
    end(session := start(user, asking, accepts=notice_of(asking)))
    assert consent.withdraw(asking.pk, person().pk) == []  # another person has nothing to withdraw
    assert consent.in_force(asking, user.pk)
    assert consent.withdraw(asking.pk, user.pk) == [session.pk]
    assert consent.withdraw(asking.pk, user.pk) == []
    assert consent.in_force(asking, user.pk) is None
    for continues in (None, session.pk):
        with pytest.raises(errors.ConsentNeeded):
            start(user, asking, continues=continues)
    kinds = [kind for kind, _version in consent_events(session)]
    assert kinds == [EventKind.CONSENT_ACCEPTED, EventKind.CONSENT_WITHDRAWN]
    assert list(verification.faults_of(session.pk)) == []


@pytest.mark.django_db
def test_a_conversation_that_began_before_the_requirement_goes_on() -> None:
    user, persona = person(), published()
    english = published(name=persona.name, avatar=persona.avatar, language="en", requires_consent=True)
    end(session := start(user, persona))
    with pytest.raises(errors.ConsentNeeded):  # it never asked, and the English one always did
        start(user, english, continues=session.pk)
    set_organisation(requires_consent=True)
    assert start(user, persona, continues=session.pk)


def test_a_nightly_check_has_nobody_to_ask(asking: Persona) -> None:
    assert consent.still_required(asking, person().pk, purpose=Purpose.CHECK) is None
    assert consent.still_required(asking, person().pk, purpose=Purpose.TRIAL)


@pytest.mark.django_db
def test_a_changed_text_makes_a_new_version_on_record() -> None:
    persona = published()
    assert audit_statements.upgrade()
    set_organisation(consent_texts={"es": "Acepto que se guarde."}, requires_consent=True)
    set_organisation(requires_consent=False)  # asks for nothing else, so the version stays
    notice = notice_for(Persona.objects.get(pk=persona.pk))
    assert (notice.version, notice.statement) == (2, "Acepto que se guarde.")
    entry = AuditEntry.objects.filter(kind=AuditEntry.Kind.ORGANISATION_CHANGED).order_by("number")[0]
    assert entry.data["consent_texts"] == [{}, {"es": "Acepto que se guarde."}]
    assert entry.data["consent_version"] == [1, 2]
    assert list(verification.faults()) == []


@pytest.mark.django_db(transaction=True)
async def test_the_socket_refuses_a_start_and_takes_it_with_the_notice(provider: Mock) -> None:
    user, persona = await a_person(), await sync_to_async(published)(requires_consent=True)
    async with browser(user, persona.slug) as tab, browser(user, persona.slug) as other:
        await tab.say("session.start", accepts=["no text"])
        await tab.hear("error", code="bad_message")
        await tab.say("session.start")
        refusal = await tab.hear("error", code="consent_needed")
        assert provider.new_session.call_count == 0
        await tab.say("session.start", accepts=refusal["notice"])
        session_id = await tab.see()
        # A take-over continues the conversation. It is refused before the other session ends if it may not.
        await sync_to_async(consent.withdraw)(persona.pk, user.pk)
        await other.say("session.start", take_over=True)
        await other.hear("error", code="consent_needed")
        running = await StreamingSession.objects.aget(pk=session_id)
        assert running.end_reason == ""
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended")
