"""The two personas of a fresh portal, one per language.

They answer with a model of the organisation's own from documents that come with the portal. With an account whose
provider calls that model, what users say is answered like what they type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from avatars.models import (
    Avatar,
    BuiltInTool,
    KnowledgeBase,
    Library,
    ModelService,
    Persona,
    ProviderAccount,
    Voice,
)
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


@dataclass(frozen=True)
class OwnBrain:
    """How a starter answers with the organisation's own model."""

    instructions: str
    questions: tuple[str, ...]


OWN_BRAINS: Mapping[str, OwnBrain] = {
    "lucia": OwnBrain(
        instructions=(
            "Eres Lucía, de la recepción de la Clínica Aurora. Ayudas a los pacientes con horarios, precios, citas y "
            "análisis. Hablas de usted, con amabilidad y en pocas frases. No das consejo médico: eso lo hace el médico."
        ),
        questions=(
            "¿Cuál es el horario de la clínica?",
            "¿Cuánto cuesta la primera consulta?",
            "¿Puedo cancelar una cita?",
            "¿Hay que venir en ayunas para un análisis?",
        ),
    ),
    "daniel": OwnBrain(
        instructions=(
            "You are Daniel, who helps people with their account: passwords, invoices and plans. You are friendly and "
            "brief. You cannot see anybody’s account, and you change nothing in it."
        ),
        questions=(
            "How do I reset my password?",
            "How much does the Team plan cost?",
            "Where are my invoices?",
            "Can I get a refund?",
        ),
    ),
}


def with_own_brain(starter: dict[str, Any], service: ModelService, library: Library) -> dict[str, Any]:
    """Return a starter that answers from its documents. Its provider says the greeting of the knowledge base."""
    brain = OWN_BRAINS[starter["slug"]]
    return {
        **starter,
        "greeting": "",
        "brain": Persona.BrainKind.OWN,
        "model_service": service,
        "library": library,
        "instructions": brain.instructions,
        "starters": "\n".join(brain.questions),
        "tools": "\n".join((BuiltInTool.PERSON, BuiltInTool.MESSAGE)),
    }


def publish_starter(account: ProviderAccount, starter: dict[str, Any]) -> Persona | None:
    """Create and publish one persona.

    Return None if the account's catalogue lacks a part.
    """
    parts = _parts(account, starter)
    if parts is None:
        return None
    persona = Persona(**starter, **parts)
    versions.save_version(persona)
    publish(persona)
    return persona


def _parts(account: ProviderAccount, starter: dict[str, Any]) -> dict[str, Any] | None:
    """Return avatar, voice and knowledge base for a starter, or None if the catalogue lacks one."""
    here = {"account": account, "gone_at": None}
    avatar = Avatar.objects.filter(**here, is_active=True, name=starter["name"]).first()
    base = KnowledgeBase.objects.filter(**here, name=starter["role"]).first()
    voice = _voice(account, avatar, starter["language"]) if avatar else None
    return {"avatar": avatar, "voice": voice, "knowledge_base": base} if avatar and base and voice else None


def _voice(account: ProviderAccount, avatar: Avatar, language: str) -> Voice | None:
    """Return a voice that speaks the language, if there is one.

    The avatar's own is preferred, then one of the same gender.
    """
    own = Voice.objects.filter(account=account, provider_voice_id=avatar.default_provider_voice_id).first()
    speaking = Voice.objects.filter(account=account, gone_at=None, language=language).order_by("pk")
    if own and own.language == language:
        return own
    return (speaking.filter(gender=own.gender).first() if own else None) or speaking.first()
