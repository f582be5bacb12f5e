"""What a provider's catalogue lists."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CatalogueAvatar:
    """An avatar as the provider's catalogue lists it."""

    provider_avatar_id: str
    name: str
    preview_url: str
    default_voice_id: str
    is_active: bool
    is_own: bool = False
    """Made for this account; the others are for everybody."""
    is_image: bool = False
    """Made of a photograph: it has no voice of its own."""


@dataclass(frozen=True)
class CatalogueVoice:
    """A voice as the provider's catalogue lists it. `language` is a two-letter code, or empty for many."""

    provider_voice_id: str
    name: str
    language: str
    gender: str
    preview_url: str
    has_emotions: bool
    is_own: bool = False


@dataclass(frozen=True)
class CatalogueKnowledgeBase:
    """A knowledge base as the provider's catalogue lists it."""

    provider_knowledge_base_id: str
    name: str
    opening: str
    prompt: str
    has_texts: bool = True
    """Some lists have names only."""


@dataclass(frozen=True)
class ProviderEvent:
    """Something that the provider's own socket told of a session. `opened` is the first: it listens now."""

    kind: str
    task_id: str = ""
    characters: int = 0
    """How long a line was that was said; the line itself is not told."""
