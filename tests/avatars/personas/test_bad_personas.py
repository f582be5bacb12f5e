"""Eight invalid personas, and what staff read about them in both languages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone, translation

from avatars.models import Persona, accounts
from avatars.personas import publishing
from heygen_portal.providers import capabilities_of
from tests.avatars.personas.test_publishing import change
from tests.support.factories import PersonaFactory, VoiceFactory

pytestmark = pytest.mark.django_db

Bad = tuple[dict[str, Any], str, str, str]


def only_vp8(kind: str) -> Any:
    return replace(capabilities_of(kind), encodings=("VP8",))


BAD: dict[str, Bad] = {
    "a retired avatar": (
        {"avatar__gone_at": timezone.now()}, "avatar", "no longer offers this avatar", "ya no ofrece este avatar",
    ),
    "a voice of another language": (
        {"voice__language": "en"}, "voice", "speaks another language: English", "habla otro idioma: Inglés",
    ),
    "a voice for recorded videos only": (
        {"voice__is_live": False}, "voice", "Clara for recorded videos only", "Clara solo para vídeos grabados",
    ),
    "a picture in VP8 only": ({}, "avatar", "recent iPhones cannot play", "los iPhone recientes no"),
    "an avatar made of a photograph, without a voice": (
        {"voice": None}, "voice", "no voice of its own. Choose one", "no tiene voz propia. Elige una",
    ),
    "an avatar that is still being made": (
        {"avatar__is_active": False}, "avatar", "not active at the provider", "no está activo en el proveedor",
    ),
    "a knowledge base that was deleted": (
        {"knowledge_base__gone_at": timezone.now()}, "knowledge_base", "create it there again", "vuelve a crearlo",
    ),
    "nothing to know, and nobody decided so": (
        {"knowledge_base": None}, "knowledge_base", "answers without one", "respuestas sin ella",
    ),
    "a longer silence than the provider bears": (
        {"idle_timeout": timedelta(hours=2)}, "idle_timeout", "closes idle sessions sooner", "cierra antes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("name", BAD)
def test_an_invalid_persona_cannot_be_published(name: str, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Complaints 15, 16, 18."""
    changes, field, english, spanish = BAD[name]
    persona = change(PersonaFactory.create(), **changes)
    if "VP8" in name:
        monkeypatch.setattr(accounts, "capabilities_of", only_vp8)
    with translation.override(language), pytest.raises(ValidationError) as refusal:
        publishing.publish(persona)
    ((named, (words,)),) = refusal.value.message_dict.items()
    assert named == field
    assert (english if language == "en" else spanish) in words
    persona.refresh_from_db()
    assert persona.status == Persona.Status.DRAFT


Offer = Callable[[Any], Any]


@pytest.mark.parametrize("kind", ["heygen", "liveavatar"])
def test_form_options_follow_the_providers_capabilities(
    kind: str, admin_client: Any, django_assert_max_num_queries: Any
) -> None:
    """The explanations depend on the provider's capabilities, never on its name."""
    voice = VoiceFactory.create(account__kind=kind, account__name="Ours", has_emotions=True)
    persona = PersonaFactory.create(avatar__account=voice.account, voice=voice)
    where = {"avatar": persona.avatar_id, "voice": voice.pk}
    offered = admin_client.get("/admin/avatars/persona/offers/", where, headers={"accept-language": "en"}).json()
    can = capabilities_of(kind)
    assert offered["choices"]["voice_emotion"] == ["", *can.emotions]
    assert offered["limits"]["voice_rate"] == list(can.voice_rate)
    assert ("breaks_silence" in offered["off"]) is not can.breaks_silence
    assert ("does not support speaking" in offered["words"].get("breaks_silence", "")) is not can.breaks_silence
    assert not any(name in str(offered["words"]) for name in ("HeyGen", "LiveAvatar"))


def test_voices_are_offered_by_account_and_language(admin_client: Any) -> None:
    """Complaint 15."""
    persona = PersonaFactory.create(voice__name="Clara", voice__language="es")
    account = persona.avatar.account
    several = VoiceFactory.create(account=account, name="Clara (several)", language="")
    VoiceFactory.create(account=account, name="Clara (English)", language="en")
    VoiceFactory.create(name="Clara (another account)")
    where = {"app_label": "avatars", "model_name": "persona", "field_name": "voice", "term": "clara"}
    where |= {"avatar": str(persona.avatar_id), "language": "es"}
    found = admin_client.get("/admin/autocomplete/", where).json()["results"]
    assert {row["id"] for row in found} == {str(persona.voice_id), str(several.pk)}
