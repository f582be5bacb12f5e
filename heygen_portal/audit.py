"""Who changed a role, a password or a key, or took something out: by whom, from where; entries chained to the last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max
from django.http import HttpRequest

from heygen_portal import addresses, chains, signing
from heygen_portal.models import AuditEntry, AuditHead

ONLY = 1
"""The one head's key."""
AT_ONCE = 2_000


def note(
    request: HttpRequest | None, kind: AuditEntry.Kind, about: object, *, by: User | None = None, **data: Any
) -> AuditEntry:
    """Append an entry; without a request it was a command on the server. `by`: who is about to be signed in."""
    if by is None and request and isinstance(request.user, User):
        by = request.user
    return note_by(by.pk if by else None, addresses.of(request) if request else None, kind, about, **data)


def note_by(by_id: int | None, address: str | None, kind: AuditEntry.Kind, about: object, /, **data: Any) -> AuditEntry:
    """Do what `note` does, for a caller that has no request."""
    entry = AuditEntry(kind=kind, by_id=by_id, address=address, about=str(about)[:200], data=chains.storable(data))
    with transaction.atomic():
        end = head()
        # The head counts: entries that were cut off behind our back leave a gap, and are not written over.
        stored = AuditEntry.objects.aggregate(last=Max("number"))["last"] or 0
        entry.number, entry.previous_hash = max(end.number, stored) + 1, end.hash
        entry.close()
        entry.save(force_insert=True)
        signature = signing.sign("audit", entry.number, entry.hash)
        AuditHead.objects.filter(pk=ONLY).update(number=entry.number, hash=entry.hash, signature=signature)
    return entry


def head() -> AuditHead:
    """Return what tells how long the list is, held until the caller's transaction ends. The first caller makes it."""
    nothing = {"signature": signing.sign("audit", 0, "")}
    with transaction.atomic(savepoint=False):
        return AuditHead.objects.select_for_update().get_or_create(pk=ONLY, defaults=nothing)[0]


Wrong = tuple[chains.Harm | Literal["headless", "head_forged"], int, str]
"""What was done, to which entry, and to which column, where that is known."""


def check(tell: Callable[[AuditEntry], None] = lambda entry: None) -> tuple[int, Wrong | None]:
    """Return how many entries there are, and what was done to the first that is not as it was written, if any is.

    `tell` is given each entry that fits, in their order.
    """
    with transaction.atomic():
        end = AuditHead.objects.select_for_update().filter(pk=ONLY).first()  # nobody appends meanwhile
        number, last_hash = 0, ""
        entries = AuditEntry.objects.order_by("number")
        for entry in entries.iterator(chunk_size=AT_ONCE):
            if not chains.follows(entry, number + 1, last_hash):
                return _diagnosis(end)
            number, last_hash = entry.number, entry.hash
            tell(entry)
    return number, _wrong_end(end, number, last_hash)


def _diagnosis(end: AuditHead | None) -> tuple[int, Wrong | None]:
    known = {end.number: end.hash} if end and _is_own(end) else {}
    entries = AuditEntry.objects.order_by("number")
    count = entries.count()
    wrong = chains.misfit(
        entries.iterator(chunk_size=AT_ONCE),
        lambda number: known.get(number, ""),
        lambda number: entries.filter(number=number).first(),
        count,
    )
    if wrong and wrong[0] == "deleted":
        before = entries.filter(number=wrong[1] - 1).values_list("hash", flat=True).first() or ""
        if entries.filter(previous_hash=before).exists():
            return count, (wrong[0], wrong[1], "number")  # the entry is there, under another number
    return count, wrong


def _wrong_end(end: AuditHead | None, number: int, last_hash: str) -> Wrong | None:
    """Compare where the list ends with where its head says that it does."""
    if end is None:
        return "headless", number, ""
    if not _is_own(end):
        column = "hash" if end.hash != last_hash else "number" if end.number != number else "signature"
        return "head_forged", end.number, column
    if end.number > number:
        return "truncated", number + 1, ""
    if end.number < number:
        return "inserted", end.number + 1, ""
    return ("forged", number, "") if end.hash != last_hash else None


def _is_own(end: AuditHead) -> bool:
    """Whether the portal itself signed it."""
    return signing.is_signed(end.signature, "audit", end.number, end.hash)


def access_of(user: User) -> dict[str, Any]:
    """What decides on what a person may do."""
    return {
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "is_active": user.is_active,
        "is_superuser": user.is_superuser,
        "permissions": sorted(user.user_permissions.values_list("codename", flat=True)),
    }


def note_access(request: HttpRequest | None, user: User, before: dict[str, Any]) -> None:
    """Write down what has changed of a person's access, if anything has. Nothing `before`: they are new."""
    after = access_of(user)
    changed: dict[str, Any] = {
        name: [before.get(name), after[name]] for name in after if before.get(name) != after[name]
    }
    if changed:
        note(request, AuditEntry.Kind.ACCESS_CHANGED, user, **changed)
