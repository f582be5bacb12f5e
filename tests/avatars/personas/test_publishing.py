"""A persona can only be published if the provider supports the combination."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import reduce
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone, translation

from avatars.models import Persona
from avatars.personas import versions
from avatars.personas.publishing import problems, publish, unpublish
from heygen_portal.providers import capabilities_of
from tests.support.factories import KnowledgeBaseFactory, ModelServiceFactory, PersonaFactory, VoiceFactory

pytestmark = pytest.mark.django_db

SANDBOX_AVATAR = capabilities_of("liveavatar").sandbox_avatar


def test_a_fit_persona_is_published_under_the_next_version() -> None:
    persona = PersonaFactory.create()
    publish(persona)
    assert list(Persona.objects.published()) == [persona]
    assert persona.version == 1
    persona.role = "Recepción"
    versions.save_version(persona)
    publish(persona)
    persona.refresh_from_db()
    assert (persona.version, persona.role) == (2, "Recepción")


def test_an_unpublished_persona_is_a_draft_that_keeps_its_version() -> None:
    persona = PersonaFactory.create(published=True)
    unpublish(persona)
    persona.refresh_from_db()
    assert (persona.status, persona.version) == (Persona.Status.DRAFT, 1)


REMEDIES = {
    "en": ("Shorten", "Turn it off", "Leave this greeting empty", "Leave it empty", "Choose", "must be between", "Buy"),
    "es": ("Acorta", "Desactív", "Deja", "Déjalo", "Elige", "elige", "debe estar entre", "Compra"),
}


def change(persona: Persona, **values: Any) -> Persona:
    """Set values on the persona, or on its parts with `avatar__` and similar."""
    for name, value in values.items():
        *parts, field = name.split("__")
        target = reduce(getattr, parts, persona)
        setattr(target, field, value)
        target.save()
    return persona


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"avatar__gone_at": timezone.now()}, "avatar"),
        ({"avatar__is_active": False}, "avatar"),
        ({"voice__gone_at": timezone.now()}, "voice"),
        ({"voice__language": "en"}, "voice"),
        ({"voice_rate": Decimal("1.60")}, "voice_rate"),  # requirement 18
        ({"voice_rate": Decimal("0.40")}, "voice_rate"),
        ({"voice_emotion": "furious", "voice__has_emotions": True}, "voice_emotion"),  # requirement 19
        ({"voice_emotion": "friendly"}, "voice_emotion"),  # the voice takes none
        ({"knowledge_base": None}, "knowledge_base"),
        ({"knowledge_base__gone_at": timezone.now()}, "knowledge_base"),
        ({"idle_timeout": timedelta(hours=2)}, "idle_timeout"),
    ],
)
def test_what_the_provider_would_refuse_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    persona = change(PersonaFactory.create(), **changes)
    with pytest.raises(ValidationError) as refusal:
        publish(persona)
    assert list(refusal.value.message_dict) == [field]
    persona.refresh_from_db()
    assert persona.status == Persona.Status.DRAFT


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"voice_rate": Decimal("1.30")}, "voice_rate"),
        ({"voice_emotion": "friendly", "voice__has_emotions": True}, "voice_emotion"),
        ({"idle_timeout": timedelta(minutes=5)}, "idle_timeout"),
        ({"breaks_silence": True}, "breaks_silence"),
        ({"greeting": "Hola", "knowledge_base__opening": "Hola, soy Lucía."}, "greeting"),
        ({"avatar__account__is_sandbox": True, "avatar__provider_avatar_id": SANDBOX_AVATAR}, "duration_limit"),
        ({"avatar__account__is_sandbox": True, "duration_limit": timedelta(minutes=1)}, "avatar"),
        ({"avatar__account__credits_left": Decimal(1)}, "avatar"),
    ],
)
@pytest.mark.parametrize("language", ["en", "es"])
def test_each_provider_has_limits_of_its_own_and_each_refusal_names_the_way_out(
    changes: dict[str, Any], field: str, language: str
) -> None:
    """Complaint 16."""
    persona = change(PersonaFactory.create(avatar__account__kind="liveavatar"), **changes)
    with translation.override(language), pytest.raises(ValidationError) as refusal:
        publish(persona)
    ((named, words),) = refusal.value.message_dict.items()
    assert named == field
    assert any(remedy in words[0] for remedy in REMEDIES[language])


@pytest.mark.parametrize(
    "changes",
    [
        {"voice__language": ""},  # a voice of several languages
        {"voice_emotion": "friendly", "voice__has_emotions": True},
        {"knowledge_base": None, "is_improvising": True},
        {"voice": None, "avatar__default_provider_voice_id": "own"},
        {"quality": ""},
    ],
)
def test_what_the_provider_takes_is_published(changes: dict[str, Any]) -> None:
    publish(change(PersonaFactory.create(), **changes))


@pytest.mark.parametrize("language", ["ar", "he", "pt"])
def test_a_persona_speaks_whatever_its_provider_and_voice_do(language: str) -> None:
    persona = change(PersonaFactory.create(), language=language, voice__language=language)
    with pytest.raises(ValidationError) as refusal:
        publish(persona)
    assert list(refusal.value.message_dict) == ["language"]
    publish(change(persona, avatar__account__languages=["es", language]))
    with pytest.raises(ValidationError) as refusal:
        publish(change(persona, voice__language="es"))
    assert list(refusal.value.message_dict) == ["voice"]


def test_without_a_voice_of_its_own_the_avatars_voice_must_speak_the_language() -> None:
    """Complaint 15: no Spanish in an English voice."""
    persona = PersonaFactory.create(voice=None, language="es")
    VoiceFactory.create(account=persona.avatar.account, provider_voice_id="own", language="en")
    change(persona, avatar__default_provider_voice_id="own")
    assert list(problems(persona)) == ["voice"]


def test_parts_of_another_account_do_not_fit() -> None:
    persona = PersonaFactory.create(voice=VoiceFactory.create(), knowledge_base=KnowledgeBaseFactory.create())
    assert list(problems(persona)) == ["voice", "knowledge_base"]


def test_a_published_persona_without_a_version_cannot_be_stored() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        PersonaFactory.create(status=Persona.Status.PUBLISHED, version=0)


def test_a_persona_with_the_own_model_needs_a_service_and_instructions() -> None:
    persona: Persona = PersonaFactory.create()
    persona.brain, persona.knowledge_base, persona.is_improvising = "own", None, False
    assert set(problems(persona)) >= {"model_service", "instructions"}
    persona.model_service, persona.instructions = ModelServiceFactory.create(), "Be kind."
    assert not {"model_service", "instructions", "knowledge_base"} & problems(persona).keys()
