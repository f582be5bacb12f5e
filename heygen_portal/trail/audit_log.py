"""Who changed a role, a password or a key, or took something out: by whom, from where; entries chained to the last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Model
from django.http import HttpRequest

from heygen_portal.runtime import client_address
from heygen_portal.trail import hash_chain, signing
from heygen_portal.trail.models import AuditEntry, AuditHead
from heygen_portal.trail.raw_values import AddressText, AsText, IsoText

HEAD_ID = 1
"""The one head's key."""
NEW_LOG = ("audit of a new portal", 0, "")
"""What the head of an empty list signs, where no row was stored before the list could state it."""
IS_COMPLETE = "is_complete"
"""In the first entry of a new portal, or the last one of an upgrade: from then on each row is stated."""
ENTRIES_PER_FETCH = 2_000
USER_KEY, INVITATION_KEY = "person", "invitation"
"""In an entry's data: the ID of the user or the invitation that it is about. A name can be somebody else's later."""


def record(
    request: HttpRequest | None, kind: AuditEntry.Kind, about: object, *, by: User | None = None, **data: Any
) -> AuditEntry:
    """Append an entry; without a request it was a command on the server. `by`: who is about to be signed in."""
    if by is None and request and isinstance(request.user, User):
        by = request.user
    return record_by(by.pk if by else None, client_address.of(request) if request else None, kind, about, **data)


def record_by(
    by_id: int | None, address: str | None, kind: AuditEntry.Kind, about: object, /, **data: Any
) -> AuditEntry:
    """Do what `record` does, for a caller that has no request."""
    data = hash_chain.storable(data | _ids_of(about))
    entry = AuditEntry(kind=kind, by_id=by_id, address=address, about=str(about)[:200], data=data)
    with transaction.atomic():
        head = AuditHead.objects.select_for_update().filter(pk=HEAD_ID).first()
        # The head counts: entries that were cut off behind our back leave a gap, and are not written over. So does a
        # head that was deleted or is not signed by this portal: it is signed again below, and that must not heal it.
        # A head that is still empty may be from a set-up with another key.
        gap = 0 if head and (_is_signed_head(head) or not head.number) else 1
        head = head or lock_head()
        stored = AuditEntry.objects.aggregate(last=Max("number"))["last"] or 0
        entry.number, entry.previous_hash = max(head.number, stored) + 1 + gap, head.hash
        if entry.number == 1 and signing.is_signed(str(head.signature), *NEW_LOG):
            entry.data = {**entry.data, IS_COMPLETE: True}
        entry.compute_hash()
        entry.save(force_insert=True)
        signature = signing.sign("audit", entry.number, entry.hash)
        AuditHead.objects.filter(pk=HEAD_ID).update(number=entry.number, hash=entry.hash, signature=signature)
    return entry


def _ids_of(about: object) -> dict[str, Any]:
    if isinstance(about, User):
        return {USER_KEY: about.pk}
    if not isinstance(about, Model):
        return {}
    if about._meta.label == "heygen_portal.Invitation":
        return {INVITATION_KEY: str(about.pk)}
    user_id = getattr(about, "user_id", None)
    return {USER_KEY: user_id} if user_id else {}


def lock_head() -> AuditHead:
    """Return what tells how long the list is, held until the caller's transaction ends. The first caller makes it."""
    empty_log = {"signature": signing.sign("audit", 0, "")}
    with transaction.atomic(savepoint=False):
        return AuditHead.objects.select_for_update().get_or_create(pk=HEAD_ID, defaults=empty_log)[0]


Finding = tuple[hash_chain.Tampering | Literal["headless", "head_forged"], int, str]
"""What was done, to which entry, and to which column, where that is known."""


class StoredEntry(NamedTuple):
    """An entry as the database holds it, with values that may be unreadable as text."""

    number: int
    kind: str
    by: int | None
    address: str | None
    about: str
    data: Any
    at: str
    prints: str
    previous_hash: str
    hash: str

    def digest(self, number: int | None = None, previous_hash: str | None = None) -> str:
        """Return the hash of what the entry says, or an empty string if that cannot be read."""
        before = self.previous_hash if previous_hash is None else previous_hash
        try:
            return AuditEntry.hash_of(before, number or self.number, self.hashed_values(), self.prints)
        except (TypeError, ValueError, RecursionError):
            return ""

    def hashed_values(self) -> tuple[Any, ...]:
        return (self.kind, self.by, self.address, self.about, self.data, self.at)

    def matches_hash(self, number: int | None = None, previous_hash: str | None = None) -> bool:
        return bool(self.hash) and self.hash == self.digest(number, previous_hash)

    def hashes_to(self, expected: str) -> bool:
        return bool(expected) and self.digest() == expected

    def changed_column(self) -> str:
        values = []
        for name, value in zip(AuditEntry.HASHED_COLUMNS, self.hashed_values(), strict=True):
            try:
                values.append(hash_chain.canonical(value))
            except (TypeError, ValueError, RecursionError):
                return name
        is_prints = self._replace(prints=hash_chain.checksums(*values)).matches_hash()
        return "prints" if is_prints else hash_chain.first_mismatch(str(self.prints), AuditEntry.HASHED_COLUMNS, values)


STORED_COLUMNS = (
    "number", "kind", "by_id", AddressText("address"), "about", AsText("data"), IsoText("at"), "prints",
    "previous_hash", "hash",
)  # fmt: skip
UNREADABLE = object()
"""In place of data that is not JSON: no hash fits it."""


def _read(*numbers: int) -> Iterator[StoredEntry]:
    """Yield the entries with these numbers, or all of them, in order."""
    rows = AuditEntry.objects.order_by("number", "pk").values_list(*STORED_COLUMNS)
    chosen = rows.filter(number__in=numbers) if numbers else rows
    for row in chosen.iterator(chunk_size=ENTRIES_PER_FETCH):
        entry = StoredEntry._make(row)
        yield entry._replace(data=_parsed(entry.data))


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return UNREADABLE


def check(on_entry: Callable[[StoredEntry], None] = lambda entry: None) -> tuple[int, Finding | None]:
    """Return how many entries there are, and what was done to the first that is not as it was written, if any is.

    `on_entry` is called with each entry in order. Inside a transaction nothing can be appended until it ends.
    """
    with transaction.atomic():
        head = AuditHead.objects.select_for_update().filter(pk=HEAD_ID).first()  # nobody appends meanwhile
        number, last_hash, is_fine = 0, "", True
        for entry in _read():
            is_fine = is_fine and hash_chain.continues(entry, number + 1, last_hash)
            number, last_hash = number + 1, entry.hash
            on_entry(entry)
        return _diagnose(head) if not is_fine else (number, _check_end(head, number, last_hash))


def _diagnose(head: AuditHead | None) -> tuple[int, Finding | None]:
    known = {head.number: head.hash} if head and _is_signed_head(head) else {}
    count = AuditEntry.objects.count()
    wrong = hash_chain.find_tampering(
        _read(),
        lambda number: known.get(number, ""),
        lambda number: next(_read(number), None),
        count,
    )
    if wrong and wrong[0] == "deleted":
        before = next(_read(wrong[1] - 1), None)
        if AuditEntry.objects.filter(previous_hash=before.hash if before else "").exists():
            return count, (wrong[0], wrong[1], "number")  # the entry is there, under another number
    return count, wrong


def _check_end(head: AuditHead | None, number: int, last_hash: str) -> Finding | None:
    """Compare where the list ends with where its head says that it does."""
    if head is None:
        return "headless", number, ""
    if not _is_signed_head(head):
        column = "hash" if head.hash != last_hash else "number" if head.number != number else "signature"
        return "head_forged", head.number, column
    if head.number > number:
        return "truncated", number + 1, ""
    if head.number < number:
        return "inserted", head.number + 1, ""
    return ("forged", number, "") if head.hash != last_hash else None


def _is_signed_head(head: AuditHead) -> bool:
    """Whether the portal itself signed it."""
    signature, values = str(head.signature), (head.number, head.hash)
    return signing.is_signed(signature, "audit", *values) or (
        values == NEW_LOG[1:] and signing.is_signed(signature, *NEW_LOG)
    )


def access_of(user: User) -> dict[str, Any]:
    """What decides on what a person may do."""
    return {
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "is_active": user.is_active,
        "is_superuser": user.is_superuser,
        "permissions": sorted(user.user_permissions.values_list("codename", flat=True)),
    }


def names_of(user: User) -> dict[str, Any]:
    """By what a person is found, and where letters to them go."""
    return {"username": user.get_username(), "email": user.email}


def record_access_change(request: HttpRequest | None, user: User, before: dict[str, Any]) -> None:
    """Write down what has changed of a person's access or names, if anything has. Nothing `before`: they are new."""
    after = access_of(user) | (names_of(user) if before else {})
    changed: dict[str, Any] = {
        name: [before.get(name), after[name]] for name in after if before.get(name) != after[name]
    }
    if changed:
        record(request, AuditEntry.Kind.ACCESS_CHANGED, user, **changed)
