"""Who changed a role, a password or a key: written down by whom and from where, each entry chained to the last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from heygen_portal import addresses
from heygen_portal.models import AuditEntry

TRIES = 10
"""Two who write at once take the same number; one of them takes the next."""


def note(request: HttpRequest | None, kind: AuditEntry.Kind, about: object, **data: Any) -> AuditEntry:
    """Append an entry; without a request it was a command on the server."""
    by = request.user if request and isinstance(request.user, User) else None
    return note_by(by, addresses.of(request) if request else None, kind, about, **data)


def note_by(by: User | None, address: str | None, kind: AuditEntry.Kind, about: object, **data: Any) -> AuditEntry:
    """Do what `note` does, for what came by a socket."""
    for last_try in (*[False] * (TRIES - 1), True):
        entry = AuditEntry(kind=kind, by=by, address=address, about=str(about)[:200], data=data)
        try:
            with transaction.atomic():
                return _append(entry)
        except IntegrityError:
            if last_try:
                raise
    raise AssertionError


def _append(entry: AuditEntry) -> AuditEntry:
    last = AuditEntry.objects.order_by("-number").only("number", "hash").first()
    entry.number, entry.previous_hash = (last.number + 1, last.hash) if last else (1, "")
    entry.hash = digest(entry)
    entry.save(force_insert=True)
    return entry


def digest(entry: AuditEntry) -> str:
    """Return the SHA-256 over everything the entry says, the one before it included (hexadecimal)."""
    said = [
        entry.previous_hash,
        entry.number,
        str(entry.kind),
        entry.by_id,
        entry.address,
        entry.about,
        entry.data,
        entry.at.isoformat(),
    ]
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def first_broken(entries: Iterable[AuditEntry]) -> AuditEntry | None:
    """Return the first entry, of all in their order, that is not what was written or does not follow the last."""
    number, last = 0, ""
    for entry in entries:
        if (entry.number, entry.previous_hash, entry.hash) != (number + 1, last, digest(entry)):
            return entry
        number, last = entry.number, entry.hash
    return None


def access_of(user: User) -> dict[str, Any]:
    """What decides on what a person may do."""
    return {
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "is_active": user.is_active,
        "is_superuser": user.is_superuser,
        "permissions": sorted(user.user_permissions.values_list("codename", flat=True)),
    }


def note_access(request: HttpRequest, user: User, before: dict[str, Any]) -> None:
    """Write down what has changed of a person's access, if anything has."""
    after = access_of(user)
    changed = {name: [before.get(name), after[name]] for name in after if before.get(name) != after[name]}
    if changed:
        note(request, AuditEntry.Kind.ACCESS_CHANGED, user, **changed)
