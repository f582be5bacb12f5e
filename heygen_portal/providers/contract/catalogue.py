"""Entries of a provider's catalogue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CatalogueAvatar:
    provider_avatar_id: str
    name: str
    preview_url: str
    default_voice_id: str
    is_active: bool
    # Made for this account; other avatars are public.
    is_own: bool = False
    # Made from a photograph; has no default voice.
    is_image: bool = False


@dataclass(frozen=True)
class CatalogueVoice:
    """A voice. `language` is a two-letter code, or empty for a multilingual voice."""

    provider_voice_id: str
    name: str
    language: str
    gender: str
    preview_url: str
    has_emotions: bool
    is_own: bool = False
    # False if the provider offers it for recorded videos only.
    is_live: bool = True


@dataclass(frozen=True)
class CatalogueKnowledgeBase:
    provider_knowledge_base_id: str
    name: str
    opening: str
    prompt: str
    # False if the provider's list contains names only.
    has_texts: bool = True


@dataclass(frozen=True)
class ProviderEvent:
    """An event from the provider's own socket.

    The first one has the kind `opened` and is sent once the socket is connected.
    """

    kind: str
    task_id: str = ""
    # Length of the spoken line. The text itself is not passed on.
    characters: int = 0
