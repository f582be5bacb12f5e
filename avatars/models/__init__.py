"""The catalogue, the personas that staff make of it, and the videos that they have made."""

from avatars.models.accounts import ProviderAccount, provider_kinds, validate_web_address
from avatars.models.catalogue import Avatar, KnowledgeBase, Offered, Voice
from avatars.models.personas import Composed, Persona, PersonaCheck, PersonaQuerySet, PersonaVersion
from avatars.models.videos import Video

__all__ = [
    "Avatar",
    "Composed",
    "KnowledgeBase",
    "Offered",
    "Persona",
    "PersonaCheck",
    "PersonaQuerySet",
    "PersonaVersion",
    "ProviderAccount",
    "Video",
    "Voice",
    "provider_kinds",
    "validate_web_address",
]
