"""The catalogue, the personas that staff make of it, and the videos that they have made."""

from avatars.models.accounts import ProviderAccount, provider_kinds, validate_web_address
from avatars.models.catalogue import Avatar, KnowledgeBase, Offered, Voice
from avatars.models.personas import Persona, PersonaQuerySet
from avatars.models.videos import Video

__all__ = [
    "Avatar",
    "KnowledgeBase",
    "Offered",
    "Persona",
    "PersonaQuerySet",
    "ProviderAccount",
    "Video",
    "Voice",
    "provider_kinds",
    "validate_web_address",
]
