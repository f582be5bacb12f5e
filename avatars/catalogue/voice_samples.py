"""How voices sound: asked of the provider when somebody first listens, as nobody listens to thousands."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from asgiref.sync import async_to_sync
from django.core.cache import cache

from avatars.models import Voice
from heygen_portal import providers
from heygen_portal.providers.contract.provider import ProviderError

logger = logging.getLogger(__name__)

KEPT_S = 24 * 60 * 60
SOUNDS = ((b"ID3", "audio/mpeg"), (b"\xff\xfb", "audio/mpeg"), (b"\xff\xf3", "audio/mpeg"), (b"OggS", "audio/ogg"))
"""What a file of sound begins with; RIFF is one only if it says WAVE."""


@dataclass(frozen=True)
class Sample:
    content: bytes
    kind: str


def find(voice: Voice) -> Sample | None:
    """Return how the voice sounds; None when the provider does not give it, or gives something that is no sound."""
    key = f"voice-sample-{voice.pk}"
    content = cache.get(key)
    if content is None:
        try:
            content = async_to_sync(_ask)(voice)
        except ProviderError as exc:
            logger.warning("the sample of voice %s could not be fetched: %s", voice.pk, exc)
            return None
        cache.set(key, content, KEPT_S)
    kind = _kind(content)
    return Sample(content, kind) if kind else None


async def _ask(voice: Voice) -> bytes:
    async with providers.opened(voice.account) as provider:
        return await provider.voice_sample(voice.provider_voice_id, voice.preview_url)


def _kind(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "audio/wav"
    return next((kind for beginning, kind in SOUNDS if content.startswith(beginning)), "")
