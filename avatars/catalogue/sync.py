"""Sync an account's catalogue from its provider."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.core.files.base import ContentFile
from django.db import transaction
from django.utils import timezone

from avatars.catalogue import previews
from avatars.models import MAX_NAME_CHARACTERS, Avatar, ProviderAccount
from avatars.models.stated import AVATAR, KNOWLEDGE_BASE, VOICE
from heygen_portal import providers
from heygen_portal.providers.contract.provider import (
    CatalogueAvatar,
    CatalogueKnowledgeBase,
    CatalogueVoice,
    Provider,
    ProviderError,
    ProviderRejected,
)
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.text import limits
from heygen_portal.trail import audit_log, statements
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.statements import Table

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], Awaitable[None]]

DOWNLOADS_IN_PARALLEL = 4
MAX_ID_LENGTH = 200
MAX_URL_LENGTH = 500
# Entries that one audit entry states.
ROWS_PER_ENTRY = 200


@dataclass(frozen=True)
class Changes:
    """The number of listed entries of one kind, and of changes since the last sync."""

    listed: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0


@dataclass(frozen=True)
class SyncResult:
    """The changes of each kind, and the number of previews that could not be fetched."""

    avatars: Changes
    voices: Changes
    knowledge_bases: Changes
    previews_missing: int = 0


async def _ignore_progress(done: int, total: int) -> None: ...


async def sync_catalogue(account: ProviderAccount, report_progress: Progress = _ignore_progress) -> SyncResult:
    """Store the provider's catalogue and previews, and mark unlisted entries gone.

    Idempotent. If a list cannot be read, raises ProviderError and changes nothing. A missing preview is only counted.
    `report_progress` is called with the number of fetched previews and their total.
    """
    async with providers.opened(account) as provider:
        avatars, result = await _refresh(account, provider)
        urls = {offer.provider_avatar_id: offer.preview_url for offer in avatars if offer.preview_url}
        missing = await _fetch_previews(account, provider, urls, report_progress)
    return replace(result, previews_missing=missing)


async def refresh_catalogue(account: ProviderAccount) -> None:
    """Store the provider's catalogue without fetching previews. Raises ProviderError."""
    async with providers.opened(account) as provider:
        await _refresh(account, provider)


async def _refresh(account: ProviderAccount, provider: Provider) -> tuple[list[CatalogueAvatar], SyncResult]:
    avatars, voices, bases, credits_left, languages = await asyncio.gather(
        provider.list_avatars(),
        provider.list_voices(),
        provider.list_knowledge_bases(),
        _credits(provider),
        _languages(provider),
    )
    account.credits_left = credits_left
    account.languages = languages or _spoken(account, voices)
    return avatars, await in_thread(_store)(account, avatars, voices, bases)


async def _credits(provider: Provider) -> Decimal | None:
    try:
        return await provider.credits()
    except ProviderRejected:  # some plans do not include this call
        return None


async def _languages(provider: Provider) -> list[str]:
    try:
        return await provider.list_languages()
    except ProviderRejected:
        return []


def _spoken(account: ProviderAccount, voices: Sequence[CatalogueVoice]) -> list[str]:
    """Return the languages of the voices. Others speak several."""
    of_voices = {voice.language for voice in voices if voice.is_live and voice.language}
    return sorted(of_voices | set(account.capabilities.languages))


async def check_key(account: ProviderAccount) -> None:
    """Check the key with a call that requires it. Stores nothing.

    Raises ProviderError.
    """
    async with providers.opened(account) as provider:
        await provider.credits()


def _store(
    account: ProviderAccount,
    avatars: Sequence[CatalogueAvatar],
    voices: Sequence[CatalogueVoice],
    bases: Sequence[CatalogueKnowledgeBase],
) -> SyncResult:
    result = SyncResult(
        _store_kind(account, AVATAR, "provider_avatar_id", [_avatar(offer) for offer in avatars]),
        _store_kind(account, VOICE, "provider_voice_id", [_voice(offer) for offer in voices]),
        _store_kind(account, KNOWLEDGE_BASE, "provider_knowledge_base_id", [_base(offer) for offer in bases]),
    )
    account.synced_at = timezone.now()
    account.save(update_fields=["synced_at", "credits_left", "languages"])
    return result


@transaction.atomic
def _store_kind(account: ProviderAccount, table: Table, key: str, offers: list[dict[str, Any]]) -> Changes:
    """Store the entries of one kind.

    Unchanged entries cost no further queries.
    """
    audit_log.lock_head()  # else what another sync stores meanwhile would be overwritten without a statement
    model: Any = table.model
    now = timezone.now()
    mine = model._default_manager.filter(account=account)
    known = {
        row[key]: row for row in mine.values(key, "gone_at", "appeared_at", "changed_at", *_listed_columns(offers, key))
    }
    rows, new, changed, to_state = {}, 0, 0, {}
    for offer in offers:
        if not _is_id(offer[key]) or offer[key] in rows:
            continue
        before = known.get(offer[key])
        offer |= {name: before[name] if before else "" for name, value in offer.items() if value is None}
        is_new = before is None or before["gone_at"] is not None
        differing = [name for name, value in offer.items() if before and before[name] != value]
        is_changed = bool(differing)
        marks = {
            "appeared_at": now if is_new and account.synced_at else before and before["appeared_at"],
            "changed_at": now if is_changed else before and before["changed_at"],
        }
        rows[offer[key]] = model(**offer, **marks, account=account, last_seen_at=now)
        new, changed = new + is_new, changed + (is_changed and not is_new)
        if before is None or is_changed:
            to_state[offer[key]] = differing
    if rows:
        model._default_manager.bulk_create(
            rows.values(),
            update_conflicts=True,
            unique_fields=["account", key],
            update_fields=[*_listed_columns(offers, key), "appeared_at", "changed_at", "last_seen_at", "gone_at"],
            batch_size=500,
        )
    gone = mine.filter(gone_at=None, last_seen_at__lt=now).update(gone_at=now)
    _record_changes(account, table, key, to_state)
    return Changes(len(rows), new, changed, gone)


def _record_changes(account: ProviderAccount, table: Table, key: str, to_state: dict[str, list[str]]) -> None:
    """Append audit entries that state new entries, and the changed columns of others."""
    keys = list(to_state)
    for start in range(0, len(keys), ROWS_PER_ENTRY):
        part = keys[start : start + ROWS_PER_ENTRY]
        rows: Any = table.model._default_manager.filter(account=account, **{f"{key}__in": part})
        stated = statements.merged(*(statements.state(table, row, *to_state[getattr(row, key)]) for row in rows))
        audit_log.record_by(
            None, None, AuditEntry.Kind.CATALOGUE_SYNCED, account, what=table.name, count=len(part), **stated
        )


def _listed_columns(offers: list[dict[str, Any]], key: str) -> list[str]:
    """Return the columns that the provider's list contains."""
    return [name for name in offers[0] if name != key] if offers else []


def _avatar(offer: CatalogueAvatar) -> dict[str, Any]:
    return {
        "provider_avatar_id": offer.provider_avatar_id,
        "name": limits.shortened(_storable(offer.name), MAX_NAME_CHARACTERS),
        "default_provider_voice_id": _storable(offer.default_voice_id)[:MAX_ID_LENGTH],
        "is_active": offer.is_active,
        "is_own": offer.is_own,
        "is_image": offer.is_image,
    }


def _voice(offer: CatalogueVoice) -> dict[str, Any]:
    return {
        "provider_voice_id": offer.provider_voice_id,
        "name": limits.shortened(_storable(offer.name), MAX_NAME_CHARACTERS),
        "language": _storable(offer.language)[:20],
        "gender": _storable(offer.gender)[:20],
        "has_emotions": offer.has_emotions,
        "is_live": offer.is_live,
        "is_own": offer.is_own,
        "preview_url": _storable(offer.preview_url) if len(offer.preview_url) <= MAX_URL_LENGTH else "",
    }


def _base(offer: CatalogueKnowledgeBase) -> dict[str, Any]:
    return {
        "provider_knowledge_base_id": offer.provider_knowledge_base_id,
        "name": limits.shortened(_storable(offer.name), MAX_NAME_CHARACTERS),
        "opening": _storable(offer.opening) if offer.has_texts else None,
        "prompt": _storable(offer.prompt) if offer.has_texts else None,
    }


def _is_id(text: str) -> bool:
    return len(text) <= MAX_ID_LENGTH and _storable(text) == text


def _storable(text: str) -> str:
    """Return the text without lone surrogates and NUL, which databases reject."""
    return text.encode(errors="replace").decode().replace("\0", "")


async def _fetch_previews(
    account: ProviderAccount, provider: Provider, urls: dict[str, str], report_progress: Progress
) -> int:
    """Fetch the previews that are not stored yet. Return how many failed."""
    stored = await in_thread(_preview_sources)(account)
    downloads = asyncio.Semaphore(DOWNLOADS_IN_PARALLEL)
    pending = [(key, url) for key, url in urls.items() if stored.get(key) != _source(url)]
    done = 0

    async def fetch(provider_avatar_id: str, url: str) -> bool:
        try:
            async with downloads:
                content = await provider.download(url)
        except ProviderError as exc:
            logger.warning("The preview of avatar %s could not be fetched: %s", provider_avatar_id, exc)
            return False
        return await in_thread(_store_preview)(account, provider_avatar_id, _source(url), content)

    async def fetch_and_report(provider_avatar_id: str, url: str) -> bool:
        nonlocal done
        is_there = await fetch(provider_avatar_id, url)
        done += 1
        await report_progress(done, len(pending))
        return is_there

    await report_progress(0, len(pending))
    return (await asyncio.gather(*(fetch_and_report(key, url) for key, url in pending))).count(False)


def _source(url: str) -> str:
    return url.partition("?")[0][:MAX_URL_LENGTH]


def _preview_sources(account: ProviderAccount) -> dict[str, str]:
    stored = Avatar.objects.filter(account=account, preview__endswith=previews.SUFFIX)
    return dict(stored.values_list("provider_avatar_id", "preview_source"))


def _store_preview(account: ProviderAccount, provider_avatar_id: str, source: str, content: bytes) -> bool:
    try:
        picture = previews.render_preview(content)
    except previews.InvalidImageError as exc:
        logger.warning("The preview of avatar %s is not a picture: %s", provider_avatar_id, exc)
        return False
    avatar = Avatar.objects.get(account=account, provider_avatar_id=provider_avatar_id)
    # Named by its content, so that no cache shows an old image under the new name.
    name = f"{avatar.pk}-{hashlib.sha256(picture).hexdigest()[:16]}{previews.SUFFIX}"
    old = avatar.preview.name
    if old != avatar.preview.field.generate_filename(avatar, name):
        avatar.preview.save(name, ContentFile(picture), save=False)
        if old:
            avatar.preview.storage.delete(old)
    avatar.preview_source = source
    avatar.save(update_fields=["preview", "preview_source"])
    return True
