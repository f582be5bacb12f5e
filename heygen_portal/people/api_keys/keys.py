"""Create, replace and revoke API keys. Each change is an audit entry."""

from __future__ import annotations

import hashlib
import secrets
import string
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from heygen_portal.models import ApiKey
from heygen_portal.models.api_keys import API_KEY
from heygen_portal.trail import change_log, signing, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry

# How long a replaced key works beside the new one.
REPLACEMENT_OVERLAP = timedelta(days=1)
PREFIX_MAX_LENGTH = 24
LETTERS = string.ascii_letters + string.digits
NAME_LENGTH, SECRET_LENGTH = 8, 40  # 40 letters of 62 are 238 bits
STATED_COLUMNS = (
    "name", "owner", "prefix", "scopes", "addresses", "per_minute", "is_test", "expires_at", "revoked_at",
)  # fmt: skip


def create(key: ApiKey, actor: Actor) -> str:
    """Store a new key and return its secret, which nobody can read again.

    The caller has set owner, name, scopes and limits.
    """
    token = _new_secret(key)
    with transaction.atomic():
        key.save(force_insert=True)
        _record(actor, AuditEntry.Kind.API_KEY_CREATED, None, key)
    return token


def replace(key: ApiKey, actor: Actor, overlap: timedelta = REPLACEMENT_OVERLAP) -> tuple[ApiKey, str] | None:
    """Create a key in place of this one, which expires after `overlap`. Return the new key and its secret.

    The new key is valid for as long as this one was meant to be. Return None if this one was revoked, has expired or
    was replaced before.
    """
    with transaction.atomic():
        stored = ApiKey.objects.active().select_for_update().filter(pk=key.pk, replaced_by=None).first()
        if stored is None:
            return None
        now, before = timezone.now(), ApiKey.objects.get(pk=key.pk)
        new = ApiKey(
            organisation_id=stored.organisation_id,
            name=stored.name,
            owner_id=stored.owner_id,
            scopes=stored.scopes,
            addresses=stored.addresses,
            per_minute=stored.per_minute,
            is_test=stored.is_test,
            created_by_id=actor.user_id or stored.created_by_id,
            expires_at=stored.expires_at and now + (stored.expires_at - stored.created_at),
        )
        token = _new_secret(new)
        new.save(force_insert=True)
        stored.replaced_by = new
        stored.expires_at = min(filter(None, (stored.expires_at, now + overlap)))
        stored.save(update_fields=["replaced_by", "expires_at"])
        _record(actor, AuditEntry.Kind.API_KEY_CREATED, None, new)
        _record(actor, AuditEntry.Kind.API_KEY_REPLACED, before, stored)
    return new, token


def revoke(key: ApiKey, actor: Actor) -> bool:
    """Make a key invalid at once. Return False if it was revoked before."""
    with transaction.atomic():
        stored = ApiKey.objects.select_for_update().filter(pk=key.pk, revoked_at=None).first()
        if stored is None:
            return False
        before = ApiKey.objects.get(pk=key.pk)
        stored.revoked_at, stored.signature = timezone.now(), ""
        stored.save(update_fields=["revoked_at", "signature"])
        _record(actor, AuditEntry.Kind.API_KEY_REVOKED, before, stored)
    return True


def revoke_all_of(owner: User, actor: Actor) -> None:
    """Revoke every key of a user whose account is closed."""
    for key in ApiKey.objects.filter(owner=owner, revoked_at=None):
        revoke(key, actor)


def find(token: str) -> ApiKey | None:
    """Return the key with this secret, whether it has expired or not.

    Return None if there is none, if it was revoked, or if its row was changed by SQL.
    """
    prefix, separator, _secret = token.rpartition("_")
    if not separator or len(prefix) > PREFIX_MAX_LENGTH or "\0" in token:
        return None
    key = ApiKey.objects.filter(prefix=prefix, revoked_at=None).first()
    return key if key and signing.is_signed(key.signature, *_signed_values(key, token)) else None


def is_expired(key: ApiKey, now: datetime) -> bool:
    return key.expires_at is not None and key.expires_at <= now


def _new_secret(key: ApiKey) -> str:
    """Set prefix and signature of a new key, and return its secret."""
    kind = "test" if key.is_test else "live"
    key.prefix = f"hp_{kind}_{_letters(NAME_LENGTH)}"
    token = f"{key.prefix}_{_letters(SECRET_LENGTH)}"
    key.signature = signing.sign(*_signed_values(key, token))
    return token


def _letters(count: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(count))


def _signed_values(key: ApiKey, token: str) -> tuple[object, ...]:
    """Return what the signature covers: the secret, and whatever widens what it may do."""
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
    return ("api key", key.pk.hex, digest, key.owner_id, key.scopes, key.addresses, bool(key.is_test))


def _record(actor: Actor, kind: AuditEntry.Kind, before: ApiKey | None, after: ApiKey) -> None:
    changes = change_log.diff(before, after, STATED_COLUMNS)
    changes = {name: [_shown(value) for value in pair] for name, pair in changes.items()}
    change_log.record(actor, kind, after, changes, statements.changed(API_KEY, before, after))


def _shown(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
