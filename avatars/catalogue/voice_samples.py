"""Voice samples, fetched from the provider on first use.

Few of the thousands of voices are ever played.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from asgiref.sync import async_to_sync
from django.core.cache import cache

from avatars.models import Voice
from heygen_portal import providers
from heygen_portal.providers.contract.provider import ProviderError

logger = logging.getLogger(__name__)

CACHE_SECONDS = 24 * 60 * 60
# First bytes of audio formats. RIFF files must also contain WAVE.
SIGNATURES = ((b"ID3", "audio/mpeg"), (b"\xff\xfb", "audio/mpeg"), (b"\xff\xf3", "audio/mpeg"), (b"OggS", "audio/ogg"))


@dataclass(frozen=True)
class Sample:
    content: bytes
    content_type: str


def find(voice: Voice) -> Sample | None:
    """Return a voice's sample.

    Returns None if the provider has none or sends something that is not audio.
    """
    key = f"voice-sample-{voice.pk}"
    content = cache.get(key)
    if content is None:
        try:
            content = async_to_sync(_fetch)(voice)
        except ProviderError as exc:
            logger.warning("the sample of voice %s could not be fetched: %s", voice.pk, exc)
            return None
        cache.set(key, content, CACHE_SECONDS)
    content_type = _content_type(content)
    return Sample(content, content_type) if content_type else None


async def _fetch(voice: Voice) -> bytes:
    async with providers.opened(voice.account) as provider:
        return await provider.voice_sample(voice.provider_voice_id, voice.preview_url)


def _content_type(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "audio/wav"
    return next((content_type for beginning, content_type in SIGNATURES if content.startswith(beginning)), "")
