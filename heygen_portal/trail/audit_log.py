"""The audit log: hash-chained entries about access, keys, settings and exports."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Model, QuerySet
from django.http import HttpRequest

from heygen_portal.runtime import client_address
from heygen_portal.trail import hash_chain, signing, statements, user_rows
from heygen_portal.trail.models import AuditEntry, AuditHead
from heygen_portal.trail.raw_values import AddressText, AsText, IsoText
from heygen_portal.trail.user_rows import NAME_COLUMNS, USER

HEAD_ID = 1
"""Primary key of the only head."""
NEW_LOG = ("audit of a new portal", 0, "")
"""Signed by the head of an empty log in a new portal, where the log vouches for every row from the first."""
IS_COMPLETE = "is_complete"
"""Key in the first entry of a new portal, or the last of an upgrade: the log states every row from here on."""
ENTRIES_PER_FETCH = 2_000
USER_KEY, INVITATION_KEY = "person", "invitation"
"""Keys of the IDs of the user or invitation that an entry is about. A name may belong to another person later."""
CLOSED_LABEL = "closed-account-"
"""Start of the username of a closed account. The user's ID follows."""
IS_RENAMED, RENAMED = "is_renamed", "renamed"
"""Keys of data: in an entry whose names were replaced, and in the closed account's entry, which states those."""


def record(
    request: HttpRequest | None, kind: AuditEntry.Kind, about: object, *, by: User | None = None, **data: Any
) -> AuditEntry:
    """Append an entry for a request, or for a command on the server if there is none.

    `by` names a person who is about to be signed in, so is not the request's user yet.
    """
    if by is None and request and isinstance(request.user, User):
        by = request.user
    return record_by(by.pk if by else None, client_address.of(request) if request else None, kind, about, **data)


def record_by(
    by_id: int | None, address: str | None, kind: AuditEntry.Kind, about: object, /, **data: Any
) -> AuditEntry:
    """Append an entry for a caller without a request."""
    data = hash_chain.storable(data | _ids_of(about))
    entry = AuditEntry(kind=kind, by_id=by_id, address=address, about=str(about)[:200], data=data)
    with transaction.atomic():
        head = AuditHead.objects.select_for_update().filter(pk=HEAD_ID).first()
        # The head's number counts, so that entries deleted by SQL leave a gap instead of being overwritten. A head
        # that was deleted or has a foreign signature leaves a gap too: signing it below must not hide the damage.
        # An empty head may come from a set-up with another key.
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


def closed_accounts() -> dict[int, datetime | None]:
    """Return closing times by user ID, or None if they cannot be read or the entry was changed."""
    return _closed_in(AuditEntry.objects.filter(kind=AuditEntry.Kind.ACCOUNT_CLOSED))


def is_closed(user_id: int) -> bool:
    """Whether a user's account was closed."""
    entries = AuditEntry.objects.filter(kind=AuditEntry.Kind.ACCOUNT_CLOSED)
    return user_id in _closed_in(entries.filter(about__startswith=f"{CLOSED_LABEL}{user_id}"))


def _closed_in(entries: QuerySet[AuditEntry]) -> dict[int, datetime | None]:
    closed: dict[int, datetime | None] = {}
    for entry in _stored(entries, {}):
        user_id = entry.data.get(USER_KEY) if isinstance(entry.data, dict) else None
        if isinstance(user_id, int):
            closed.setdefault(user_id, _moment(entry.at) if _is_intact(entry) else None)
    return closed


def _moment(written: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(written)
    except (TypeError, ValueError):
        return None


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
    """Return the head of the log, locked until the transaction ends.

    Create it on first use.
    """
    empty_log = {"signature": signing.sign("audit", 0, "")}
    with transaction.atomic(savepoint=False):
        return AuditHead.objects.select_for_update().get_or_create(pk=HEAD_ID, defaults=empty_log)[0]


Finding = tuple[hash_chain.Tampering | Literal["headless", "head_forged"], int, str]
"""The kind of tampering, the number of the entry, and the column, empty if unknown."""


RenamedHashes = Mapping[str, str]
"""Hash of an entry as it was written → hash of its content since a closed account's names were replaced in it."""


def rename(entries: Iterable[AuditEntry], replaced: Callable[[AuditEntry], tuple[str, Any]]) -> dict[str, str]:
    """Replace names in entries; return what the closing entry must state as RENAMED.

    `replaced` returns the new `about` and `data`. An entry keeps its hash, so the chain holds. An entry that no longer
    matches its hash is left alone, so that verification still finds it.
    """
    renamed = {}
    earlier = _renamed_hashes()
    for entry in entries:
        about, data = replaced(entry)
        if (about, data) == (entry.about, entry.data) or not next(_read(earlier, entry.number)).matches_hash():
            continue
        entry.about, entry.data = about, hash_chain.storable({**data, IS_RENAMED: True})
        entry.prints = hash_chain.checksums(*entry.hashed_values())
        AuditEntry.objects.filter(pk=entry.pk).update(about=about, data=entry.data, prints=entry.prints)
        renamed[entry.hash] = next(_read({}, entry.number)).digest()
    return renamed


def _renamed_hashes() -> RenamedHashes:
    """Return what the entries of closed accounts state.

    `check` finds out whether those were changed.
    """
    renamed: dict[str, str] = {}
    stating = AuditEntry.objects.filter(kind=AuditEntry.Kind.ACCOUNT_CLOSED).order_by("number")
    for text in stating.values_list(AsText("data"), flat=True).iterator(chunk_size=ENTRIES_PER_FETCH):
        data = _parsed(text)
        stated = data.get(RENAMED) if isinstance(data, dict) else None
        if isinstance(stated, dict):
            renamed |= {written: now for written, now in stated.items() if isinstance(now, str)}
    return renamed


class StoredEntry(NamedTuple):
    """An entry as stored.

    Tampering may have left values that are not valid text or JSON.
    """

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
    renamed: RenamedHashes

    def digest(self, number: int | None = None, previous_hash: str | None = None) -> str:
        """Return the hash of the values, or an empty string if they are unreadable."""
        before = self.previous_hash if previous_hash is None else previous_hash
        try:
            return AuditEntry.hash_of(before, number or self.number, self.hashed_values(), self.prints)
        except (TypeError, ValueError, RecursionError):
            return ""

    def hashed_values(self) -> tuple[Any, ...]:
        return (self.kind, self.by, self.address, self.about, self.data, self.at)

    def matches_hash(self, number: int | None = None, previous_hash: str | None = None) -> bool:
        return bool(self.hash) and self._current(self.hash) == self.digest(number, previous_hash)

    def search_bytes(self) -> int:
        try:
            return len(hash_chain.canonical(self.data))
        except (TypeError, ValueError, RecursionError):
            return 0

    def hashes_to(self, expected: str) -> bool:
        return bool(expected) and self.digest() == self._current(expected)

    def _current(self, written: str) -> str:
        """Return the hash that the entry's content must have now.

        Names may have been replaced since it was written.
        """
        return self.renamed.get(written, written) if isinstance(written, str) else written

    def may_be_renamed(self) -> bool:
        """Whether replaced names may explain that the content does not match its hash.

        `rename` marks the entry and updates its checksums. A closed account's entry must state the new hash.
        """
        is_marked = isinstance(self.data, dict) and self.data.get(IS_RENAMED) is True
        return is_marked and not self.matches_hash() and not self.changed_column()

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
"""Replaces data that is not JSON. No hash matches it."""


def intact(entries: QuerySet[AuditEntry]) -> Iterator[StoredEntry]:
    """Yield those of these entries that match their own hash, in order.

    The others were changed by SQL and prove nothing. Verification names them.
    """
    return filter(_is_intact, _stored(entries, {}))


def _is_intact(entry: StoredEntry) -> bool:
    return entry.matches_hash() or entry._replace(renamed=_renamed_hashes()).matches_hash()


def _read(renamed: RenamedHashes, *numbers: int) -> Iterator[StoredEntry]:
    """Yield the entries with these numbers, or all of them, in order."""
    entries = AuditEntry.objects.all()
    return _stored(entries.filter(number__in=numbers) if numbers else entries, renamed)


def _stored(entries: QuerySet[AuditEntry], renamed: RenamedHashes) -> Iterator[StoredEntry]:
    rows = entries.order_by("number", "pk").values_list(*STORED_COLUMNS)
    for row in rows.iterator(chunk_size=ENTRIES_PER_FETCH):
        entry = StoredEntry._make((*row, renamed))
        yield entry._replace(data=_parsed(entry.data))


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return UNREADABLE


def check(
    on_entry: Callable[[StoredEntry, bool], None] = lambda entry, is_intact: None,
) -> tuple[int, Finding | None]:
    """Verify the log. Return the number of entries and the first damage, or None.

    Call `on_entry` with each entry in order, and whether it matches its own hash. The head stays locked, so nothing is
    appended until the caller's transaction ends.
    """
    with transaction.atomic():
        head = AuditHead.objects.select_for_update().filter(pk=HEAD_ID).first()  # blocks appends
        number, last_hash, is_fine = 0, "", True
        renamed = _renamed_hashes()
        for entry in _read(renamed):
            is_intact = entry.matches_hash()
            is_fine = is_fine and is_intact and (entry.number, entry.previous_hash) == (number + 1, last_hash)
            number, last_hash = number + 1, entry.hash
            on_entry(entry, is_intact)
        return _diagnose(head, renamed) if not is_fine else (number, _check_end(head, number, last_hash))


def _diagnose(head: AuditHead | None, renamed: RenamedHashes) -> tuple[int, Finding | None]:
    count = AuditEntry.objects.count()
    wrong = _find_tampering(head, renamed, count)
    if wrong and wrong[0] == "changed" and any(entry.may_be_renamed() for entry in _read(renamed, wrong[1])):
        # The closed account's entry, which follows, may have been changed or deleted, and not this one.
        lost = {entry.hash: entry.digest() for entry in _read(renamed) if entry.may_be_renamed()}
        last = AuditEntry.objects.order_by("-number").values_list("hash", flat=True).first() or ""
        wrong = _find_tampering(head, {**renamed, **lost}, count) or _check_end(head, count, last) or wrong
    return count, wrong


def _find_tampering(head: AuditHead | None, renamed: RenamedHashes, count: int) -> Finding | None:
    known = {head.number: head.hash} if head and _is_signed_head(head) else {}
    wrong = hash_chain.find_tampering(
        _read(renamed),
        lambda number: known.get(number, ""),
        lambda number: next(_read(renamed, number), None),
        count,
    )
    if wrong and wrong[0] == "deleted":
        before = next(_read(renamed, wrong[1] - 1), None)
        if AuditEntry.objects.filter(previous_hash=before.hash if before else "").exists():
            return wrong[0], wrong[1], "number"  # the entry exists, under another number
    return wrong


def _check_end(head: AuditHead | None, number: int, last_hash: str) -> Finding | None:
    """Compare the last entry with the head."""
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
    """Whether this portal signed the head."""
    signature, values = str(head.signature), (head.number, head.hash)
    return signing.is_signed(signature, "audit", *values) or (
        values == NEW_LOG[1:] and signing.is_signed(signature, *NEW_LOG)
    )


def access_of(user: User) -> dict[str, Any]:
    """Return what determines a user's permissions, in JSON types."""
    return {
        "roles": sorted(user.groups.values_list("name", flat=True)),
        "is_active": user.is_active,
        "is_superuser": user.is_superuser,
        "permissions": sorted(user.user_permissions.values_list("codename", flat=True)),
    }


def names_of(user: User) -> dict[str, Any]:
    """Return a user's names and e-mail address."""
    return {name: getattr(user, name) for name in NAME_COLUMNS}


def record_access_change(
    request: HttpRequest | None,
    user: User,
    before: dict[str, Any],
    stored: User | None = None,
    rows_before: user_rows.AccessRows | None = None,
) -> None:
    """Append an entry if a user's access or names have changed.

    Call it in the transaction of the change.

    For a new user pass an empty `before`, and otherwise the row before the change as `stored`, and its roles and
    permissions as `rows_before`.
    """
    after = access_of(user) | {name: value for name, value in names_of(user).items() if name in before}
    changed: dict[str, Any] = {
        name: [before.get(name), after[name]] for name in after if before.get(name) != after[name]
    }
    stated = statements.changed(USER, stored, user) if stored or not before else {}
    if rows_before is not None or not before:
        stated = statements.merged(stated, user_rows.access_changed(rows_before or {}, user.pk))
    if changed or stated:
        record(request, AuditEntry.Kind.ACCESS_CHANGED, user, **changed, **stated)
