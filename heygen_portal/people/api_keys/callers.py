"""Who calls the REST API: checked anew with each request."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address, ip_network
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from heygen_portal.models import ApiKey
from heygen_portal.people.access import live_access
from heygen_portal.people.api_keys import keys, scopes
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.trail.change_log import Actor

# The last use is stored at most so often.
LAST_USE_INTERVAL = timedelta(minutes=1)


class KeyRefused(Exception):
    """No valid key: unknown, revoked or changed, or its owner lost access."""


class KeyExpired(KeyRefused):
    """The key is genuine, but too old."""


class AddressRefused(KeyRefused):
    """The key is genuine, but may not be used from this address."""


class ScopeMissing(Exception):
    """The key is valid, but has none of the scopes, or its owner's role no longer allows any of them."""

    def __init__(self, wanted: Collection[Scope]) -> None:
        super().__init__(" ".join(wanted))
        self.wanted = sorted(wanted)


@dataclass(frozen=True)
class Caller:
    """A program that has shown a valid key. `scopes` are those of the operation that it may use now."""

    key_id: UUID
    key_prefix: str
    user_id: int
    scopes: frozenset[Scope]
    is_test: bool
    address: str | None

    @property
    def actor(self) -> Actor:
        return Actor(self.user_id, self.address)


def identify(token: str, address: str | None) -> ApiKey:
    """Return the key with this secret. Raises KeyRefused, KeyExpired, AddressRefused."""
    key, now = keys.find(token), timezone.now()
    if key is None:
        raise KeyRefused
    if keys.is_expired(key, now):
        raise KeyExpired
    if not _is_allowed(key, address):
        raise AddressRefused
    if key.last_used_at is None or key.last_used_at + LAST_USE_INTERVAL <= now:
        unused = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USE_INTERVAL)
        ApiKey.objects.filter(unused, pk=key.pk).update(last_used_at=now)
    return key


def enter(token: str, address: str | None, wanted: Collection[Scope]) -> tuple[ApiKey, Caller | ScopeMissing]:
    """Identify and admit a program. Return the key, and the caller or why it may not use the operation.

    Raises KeyRefused, KeyExpired, AddressRefused.
    """
    key = identify(token, address)
    try:
        return key, admit(key, address, wanted)
    except ScopeMissing as exc:
        return key, exc


def admit(key: ApiKey, address: str | None, wanted: Collection[Scope]) -> Caller:
    """Return the caller if the key may use an operation that accepts any of the scopes `wanted`.

    The owner's account and role count at this moment. Raises KeyRefused, ScopeMissing.
    """
    chosen = scopes.parse(key.scopes) & set(wanted)
    loss, permissions = live_access.standing(key.owner_id, scopes.permissions_of(chosen))
    if loss:
        raise KeyRefused
    if not (usable := scopes.held(chosen, permissions)):
        raise ScopeMissing(wanted)
    return Caller(key.pk, key.prefix, key.owner_id, usable, bool(key.is_test), address)


def _is_allowed(key: ApiKey, address: str | None) -> bool:
    if not key.addresses:
        return True
    try:
        return address is not None and any(ip_address(address) in ip_network(one) for one in key.addresses.split())
    except ValueError:  # written by SQL
        return False
