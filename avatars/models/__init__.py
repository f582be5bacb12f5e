"""The catalogue, the personas that staff make of it, and the videos that they have made."""

from avatars.models.accounts import ProviderAccount, provider_kinds, validate_web_address
from avatars.models.catalogue import Avatar, KnowledgeBase, News, Offered, Voice, having
from avatars.models.knowledge import KnowledgeVersion
from avatars.models.personas import Composed, Persona, PersonaCheck, PersonaQuerySet, PersonaVersion
from avatars.models.syncs import CatalogueSync
from avatars.models.videos import Video

__all__ = [
    "Avatar",
    "CatalogueSync",
    "Composed",
    "KnowledgeBase",
    "KnowledgeVersion",
    "News",
    "Offered",
    "Persona",
    "PersonaCheck",
    "PersonaQuerySet",
    "PersonaVersion",
    "ProviderAccount",
    "Video",
    "Voice",
    "having",
    "provider_kinds",
    "validate_web_address",
]
