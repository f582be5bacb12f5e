"""Bring the catalogue up to date with what the provider offers."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.core.files.base import ContentFile
from django.utils import timezone

from avatars import previews
from avatars.models import Avatar, KnowledgeBase, Offered, ProviderAccount, Voice
from heygen_portal import providers
from heygen_portal.providers.base import (
    AvatarOffer,
    KnowledgeBaseOffer,
    Provider,
    ProviderError,
    ProviderRejected,
    VoiceOffer,
)
from heygen_portal.threads import in_thread

logger = logging.getLogger(__name__)

DOWNLOADS_AT_ONCE = 4
LONGEST_ID = LONGEST_NAME = 200
LONGEST_URL = 500


@dataclass(frozen=True)
class SyncResult:
    """What the provider offers now, and how many of its previews could not be fetched."""

    avatars: int
    voices: int
    knowledge_bases: int
    previews_missing: int


async def sync_catalogue(account: ProviderAccount) -> SyncResult:
    """Store what the account's provider offers; mark gone what it no longer lists.

    Safe to repeat. Raises ProviderError when a list does not come, and then changes nothing;
    a preview that does not come is only counted.
    """
    async with providers.opened(account) as provider:
        avatars, voices, bases = await _refresh(account, provider)
        urls = {offer.provider_avatar_id: offer.preview_url for offer in avatars if offer.preview_url}
        missing = await _fetch_previews(account, provider, urls)
    return SyncResult(len(avatars), len(voices), len(bases), missing)


async def refresh(account: ProviderAccount) -> None:
    """Do what `sync_catalogue` does, but for the previews: the short way to know what is there now."""
    async with providers.opened(account) as provider:
        await _refresh(account, provider)


async def _refresh(
    account: ProviderAccount, provider: Provider
) -> tuple[list[AvatarOffer], list[VoiceOffer], list[KnowledgeBaseOffer]]:
    avatars, voices, bases, credits_left = await asyncio.gather(
        provider.list_avatars(), provider.list_voices(), provider.list_knowledge_bases(), _credits(provider)
    )
    account.credits_left = credits_left
    await in_thread(_store)(account, avatars, voices, bases)
    return avatars, voices, bases


async def _credits(provider: Provider) -> Decimal | None:
    try:
        return await provider.credits()
    except ProviderRejected:  # a plan may have lists, and no such question
        return None


async def check_key(account: ProviderAccount) -> None:
    """Ask the provider for something that only a right key opens. Raises ProviderError; stores nothing."""
    async with providers.opened(account) as provider:
        await provider.credits()


def _store(
    account: ProviderAccount,
    avatars: Sequence[AvatarOffer],
    voices: Sequence[VoiceOffer],
    bases: Sequence[KnowledgeBaseOffer],
) -> None:
    _store_kind(account, Avatar, "provider_avatar_id", [_avatar(offer) for offer in avatars])
    _store_kind(account, Voice, "provider_voice_id", [_voice(offer) for offer in voices])
    _store_kind(account, KnowledgeBase, "provider_knowledge_base_id", [_base(offer) for offer in bases])
    account.synced_at = timezone.now()
    account.save(update_fields=["synced_at", "credits_left"])


def _store_kind(account: ProviderAccount, model: type[Offered], key: str, offers: list[dict[str, Any]]) -> None:
    now = timezone.now()
    seen = {"account": account, "last_seen_at": now, "gone_at": None}
    rows = {offer[key]: model(**offer, **seen) for offer in offers if _is_id(offer[key])}
    if rows:
        changing = [*(name for name in offers[0] if name != key), "last_seen_at", "gone_at"]
        model._default_manager.bulk_create(
            rows.values(),
            update_conflicts=True,
            unique_fields=["account", key],
            update_fields=changing,
            batch_size=500,
        )
    listed = model._default_manager.filter(account=account)
    listed.filter(gone_at=None, last_seen_at__lt=now).update(gone_at=now)


def _avatar(offer: AvatarOffer) -> dict[str, Any]:
    return {
        "provider_avatar_id": offer.provider_avatar_id,
        "name": _storable(offer.name)[:LONGEST_NAME],
        "default_provider_voice_id": _storable(offer.default_voice_id)[:LONGEST_ID],
        "is_active": offer.is_active,
    }


def _voice(offer: VoiceOffer) -> dict[str, Any]:
    return {
        "provider_voice_id": offer.provider_voice_id,
        "name": _storable(offer.name)[:LONGEST_NAME],
        "language": _storable(offer.language)[:20],
        "gender": _storable(offer.gender)[:20],
        "has_emotions": offer.has_emotions,
        "preview_url": _storable(offer.preview_url) if len(offer.preview_url) <= LONGEST_URL else "",
    }


def _base(offer: KnowledgeBaseOffer) -> dict[str, Any]:
    return {
        "provider_knowledge_base_id": offer.provider_knowledge_base_id,
        "name": _storable(offer.name)[:LONGEST_NAME],
        "opening": _storable(offer.opening),
        "prompt": _storable(offer.prompt),
    }


def _is_id(text: str) -> bool:
    return len(text) <= LONGEST_ID and _storable(text) == text


def _storable(text: str) -> str:
    """The text without what no database takes: half characters and NUL."""
    return text.encode(errors="replace").decode().replace("\0", "")


async def _fetch_previews(account: ProviderAccount, provider: Provider, urls: dict[str, str]) -> int:
    """Fetch the previews that are not stored yet; return how many could not be."""
    stored = await in_thread(_preview_sources)(account)
    places = asyncio.Semaphore(DOWNLOADS_AT_ONCE)

    async def fetch(provider_avatar_id: str, url: str) -> bool:
        try:
            async with places:
                content = await provider.download(url)
        except ProviderError as exc:
            logger.warning("The preview of avatar %s could not be fetched: %s", provider_avatar_id, exc)
            return False
        return await in_thread(_store_preview)(account, provider_avatar_id, _source(url), content)

    wanted = [(key, url) for key, url in urls.items() if stored.get(key) != _source(url)]
    return (await asyncio.gather(*(fetch(key, url) for key, url in wanted))).count(False)


def _source(url: str) -> str:
    return url.partition("?")[0][:LONGEST_URL]


def _preview_sources(account: ProviderAccount) -> dict[str, str]:
    stored = Avatar.objects.filter(account=account, preview__endswith=previews.ENDING)
    return dict(stored.values_list("provider_avatar_id", "preview_source"))


def _store_preview(account: ProviderAccount, provider_avatar_id: str, source: str, content: bytes) -> bool:
    try:
        picture = previews.as_shown(content)
    except previews.NotAPictureError as exc:
        logger.warning("The preview of avatar %s is not a picture: %s", provider_avatar_id, exc)
        return False
    avatar = Avatar.objects.get(account=account, provider_avatar_id=provider_avatar_id)
    # Named by its content: nobody's cache shows the old picture under the new one's name.
    name = f"{avatar.pk}-{hashlib.sha256(picture).hexdigest()[:16]}{previews.ENDING}"
    old = avatar.preview.name
    if old != avatar.preview.field.generate_filename(avatar, name):
        avatar.preview.save(name, ContentFile(picture), save=False)
        if old:
            avatar.preview.storage.delete(old)
    avatar.preview_source = source
    avatar.save(update_fields=["preview", "preview_source"])
    return True
