"""The two personas of a fresh portal, one per language."""

from __future__ import annotations

from typing import Any

from avatars.models import Avatar, KnowledgeBase, Persona, ProviderAccount, Voice
from avatars.personas import versions
from avatars.personas.publishing import publish

STARTERS: tuple[dict[str, Any], ...] = (
    {
        "slug": "lucia",
        "name": "Lucía",
        "role": "Recepción y citas",
        "summary": "Horarios, precios y citas de la clínica.",
        "language": "es",
        "greeting": "Hola, soy Lucía. ¿En qué puedo ayudarte?",
    },
    {
        "slug": "daniel",
        "name": "Daniel",
        "role": "Account help",
        "summary": "Passwords, invoices and plans.",
        "language": "en",
        "greeting": "Hello, I am Daniel. What can I do for you?",
    },
)


def publish_starters(account: ProviderAccount) -> list[Persona]:
    """Create and publish the starters whose parts the catalogue has."""
    return [persona for starter in STARTERS if (persona := publish_starter(account, starter))]


def publish_starter(account: ProviderAccount, starter: dict[str, Any]) -> Persona | None:
    """Create and publish one persona.

    Return None if the account's catalogue lacks a part.
    """
    here = {"account": account, "gone_at": None}
    avatar = Avatar.objects.filter(**here, is_active=True, name=starter["name"]).first()
    base = KnowledgeBase.objects.filter(**here, name=starter["role"]).first()
    voice = _voice(account, avatar, starter["language"]) if avatar else None
    if not (avatar and base and voice):
        return None
    persona = Persona(**starter, avatar=avatar, voice=voice, knowledge_base=base)
    versions.save_version(persona)
    publish(persona)
    return persona


def _voice(account: ProviderAccount, avatar: Avatar, language: str) -> Voice | None:
    """Return a voice that speaks the language, if there is one.

    The avatar's own is preferred, then one of the same gender.
    """
    own = Voice.objects.filter(account=account, provider_voice_id=avatar.default_provider_voice_id).first()
    speaking = Voice.objects.filter(account=account, gone_at=None, language=language).order_by("pk")
    if own and own.language == language:
        return own
    return (speaking.filter(gender=own.gender).first() if own else None) or speaking.first()
