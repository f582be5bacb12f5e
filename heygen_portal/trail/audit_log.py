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
from heygen_portal.trail.models import AuditEntry, AuditHead, Invitation
from heygen_portal.trail.raw_values import AsText, Host, Written

ONLY = 1
"""The one head's key."""
NEW = ("audit of a new portal", 0, "")
"""What the head of an empty list signs, where no row was stored before the list could state it."""
IS_COMPLETE = "is_complete"
"""In the first entry of a new portal, or the last one of an upgrade: from then on each row is stated."""
AT_ONCE = 2_000
PERSON, INVITATION = "person", "invitation"
"""In an entry's data: the ID of the user or the invitation that it is about. A name can be somebody else's later."""


def note(
    request: HttpRequest | None, kind: AuditEntry.Kind, about: object, *, by: User | None = None, **data: Any
) -> AuditEntry:
    """Append an entry; without a request it was a command on the server. `by`: who is about to be signed in."""
    if by is None and request and isinstance(request.user, User):
        by = request.user
    return note_by(by.pk if by else None, client_address.of(request) if request else None, kind, about, **data)


def note_by(by_id: int | None, address: str | None, kind: AuditEntry.Kind, about: object, /, **data: Any) -> AuditEntry:
    """Do what `note` does, for a caller that has no request."""
    data = hash_chain.storable(data | _ids_of(about))
    entry = AuditEntry(kind=kind, by_id=by_id, address=address, about=str(about)[:200], data=data)
    with transaction.atomic():
        end = AuditHead.objects.select_for_update().filter(pk=ONLY).first()
        # The head counts: entries that were cut off behind our back leave a gap, and are not written over. So does a
        # head that was deleted or is not signed by this portal: it is signed again below, and that must not heal it.
        # A head that is still empty may be from a set-up with another key.
        gap = 0 if end and (_is_own(end) or not end.number) else 1
        end = end or head()
        stored = AuditEntry.objects.aggregate(last=Max("number"))["last"] or 0
        entry.number, entry.previous_hash = max(end.number, stored) + 1 + gap, end.hash
        if entry.number == 1 and signing.is_signed(str(end.signature), *NEW):
            entry.data = {**entry.data, IS_COMPLETE: True}
        entry.close()
        entry.save(force_insert=True)
        signature = signing.sign("audit", entry.number, entry.hash)
        AuditHead.objects.filter(pk=ONLY).update(number=entry.number, hash=entry.hash, signature=signature)
    return entry


def _ids_of(about: object) -> dict[str, Any]:
    if isinstance(about, User):
        return {PERSON: about.pk}
    if isinstance(about, Invitation):
        return {INVITATION: str(about.pk)}
    user_id = getattr(about, "user_id", None) if isinstance(about, Model) else None
    return {PERSON: user_id} if user_id else {}


def head() -> AuditHead:
    """Return what tells how long the list is, held until the caller's transaction ends. The first caller makes it."""
    nothing = {"signature": signing.sign("audit", 0, "")}
    with transaction.atomic(savepoint=False):
        return AuditHead.objects.select_for_update().get_or_create(pk=ONLY, defaults=nothing)[0]


Wrong = tuple[hash_chain.Harm | Literal["headless", "head_forged"], int, str]
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
            return AuditEntry.hash_of(before, number or self.number, self.said(), self.prints)
        except (TypeError, ValueError, RecursionError):
            return ""

    def said(self) -> tuple[Any, ...]:
        return (self.kind, self.by, self.address, self.about, self.data, self.at)

    def fits(self, number: int | None = None, previous_hash: str | None = None) -> bool:
        return bool(self.hash) and self.hash == self.digest(number, previous_hash)

    def is_hashed(self, as_what: str) -> bool:
        return bool(as_what) and self.digest() == as_what

    def changed(self) -> str:
        said = []
        for name, value in zip(AuditEntry.SAID, self.said(), strict=True):
            try:
                said.append(hash_chain.canonical(value))
            except (TypeError, ValueError, RecursionError):
                return name
        is_prints = self._replace(prints=hash_chain.prints(*said)).fits()
        return "prints" if is_prints else hash_chain.blamed(str(self.prints), AuditEntry.SAID, said)


STORED = (
    "number", "kind", "by_id", Host("address"), "about", AsText("data"), Written("at"), "prints", "previous_hash",
    "hash",
)  # fmt: skip
UNREADABLE = object()
"""In place of data that is not JSON: no hash fits it."""


def _stored(*numbers: int) -> Iterator[StoredEntry]:
    """Yield the entries with these numbers, or all of them, in order."""
    rows = AuditEntry.objects.order_by("number", "pk").values_list(*STORED)
    chosen = rows.filter(number__in=numbers) if numbers else rows
    for row in chosen.iterator(chunk_size=AT_ONCE):
        entry = StoredEntry._make(row)
        yield entry._replace(data=_data_of(entry.data))


def _data_of(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return UNREADABLE


def check(tell: Callable[[StoredEntry], None] = lambda entry: None) -> tuple[int, Wrong | None]:
    """Return how many entries there are, and what was done to the first that is not as it was written, if any is.

    `tell` is called with each entry in order. Inside a transaction nothing can be appended until it ends.
    """
    with transaction.atomic():
        end = AuditHead.objects.select_for_update().filter(pk=ONLY).first()  # nobody appends meanwhile
        number, last_hash, is_fine = 0, "", True
        for entry in _stored():
            is_fine = is_fine and hash_chain.follows(entry, number + 1, last_hash)
            number, last_hash = number + 1, entry.hash
            tell(entry)
        return _diagnosis(end) if not is_fine else (number, _wrong_end(end, number, last_hash))


def _diagnosis(end: AuditHead | None) -> tuple[int, Wrong | None]:
    known = {end.number: end.hash} if end and _is_own(end) else {}
    count = AuditEntry.objects.count()
    wrong = hash_chain.misfit(
        _stored(),
        lambda number: known.get(number, ""),
        lambda number: next(_stored(number), None),
        count,
    )
    if wrong and wrong[0] == "deleted":
        before = next(_stored(wrong[1] - 1), None)
        if AuditEntry.objects.filter(previous_hash=before.hash if before else "").exists():
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
    signature, said = str(end.signature), (end.number, end.hash)
    return signing.is_signed(signature, "audit", *said) or (said == NEW[1:] and signing.is_signed(signature, *NEW))


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


def note_access(request: HttpRequest | None, user: User, before: dict[str, Any]) -> None:
    """Write down what has changed of a person's access or names, if anything has. Nothing `before`: they are new."""
    after = access_of(user) | (names_of(user) if before else {})
    changed: dict[str, Any] = {
        name: [before.get(name), after[name]] for name in after if before.get(name) != after[name]
    }
    if changed:
        note(request, AuditEntry.Kind.ACCESS_CHANGED, user, **changed)
