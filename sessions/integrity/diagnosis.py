"""Diagnosis of a session's record: which row was tampered with, and how."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from heygen_portal.trail import hash_chain, statements
from sessions.integrity.fault import FaultKind
from sessions.lifecycle import coverage
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import digest_of
from sessions.models import SessionHead, SessionSeal

ERASED = EventKind.SPEECH_ERASED
HELD, HOLD_RELEASED = EventKind.HELD, EventKind.HOLD_RELEASED
# Kinds of event about holding or erasing a session's speech.
RETENTION_KINDS = {ERASED, HELD, HOLD_RELEASED}
# Kinds of event that carry the fingerprint of a text.
TEXT_PROVING_KINDS = {
    EventKind.TASK,
    EventKind.AVATAR_END_MESSAGE,
    EventKind.USER_END_MESSAGE,
    EventKind.PROVIDER_RECORD,
}
# The fields behind an event's checksums, in their order.
HASHED_FIELDS = ("source", "kind", "data", "at")
# From an event to its seal. A seal is made in the same transaction.
MAX_SEALING_TIME = timedelta(minutes=1)
# Replaces data that is not JSON.
UNREADABLE = object()


def data_of(text: Any) -> Any:
    """Parse the data of an event; return UNREADABLE if it is not JSON."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return UNREADABLE


class Event(NamedTuple):
    """One event as the database holds it, with values that may be unreadable."""

    session: str
    number: int
    source: str
    kind: str
    data: Any
    at: str
    prints: str
    previous_hash: str
    hash: str

    def digest(self, number: int | None = None, previous_hash: str | None = None, data: Any = None) -> str:
        """Return the hash of the event's content, or an empty string if unreadable."""
        values = (self.source, self.kind, self.data if data is None else data, self.at, self.prints)
        before = self.previous_hash if previous_hash is None else previous_hash
        try:
            return digest_of(before, self.session, number or self.number, *values)
        except (TypeError, ValueError, RecursionError):
            return ""

    def matches_hash(self, number: int | None = None, previous_hash: str | None = None) -> bool:
        if self.hash == self.digest(number, previous_hash):
            return True
        return any(
            self.hash == self.digest(number, previous_hash, data)
            for data in hash_chain.negative_zero_variants(self.data)
        )

    def search_bytes(self) -> int:
        try:
            return len(hash_chain.canonical(self.data)) * hash_chain.negative_zero_variant_count(self.data)
        except (TypeError, ValueError, RecursionError):
            return 0

    def hashes_to(self, expected: str) -> bool:
        return self.digest() == expected

    def changed_column(self) -> str:
        try:
            values = (str(self.source), str(self.kind), hash_chain.canonical(self.data), str(self.at))
        except (TypeError, ValueError, RecursionError):
            return "data"
        if self._replace(prints=hash_chain.checksums(*values)).matches_hash():
            return "prints"
        return hash_chain.first_mismatch(str(self.prints), HASHED_FIELDS, values)


class EndMark(NamedTuple):
    """A seal or the head: the signed number of events and the hash of the last one."""

    number: int
    hash: str
    signature: str
    at: str = ""


def proofs(kind: str, data: Any) -> Collection[str] | None:
    """Return the fingerprints of the texts that an event proves.

    Returns None for an event from before fingerprints.
    """
    if kind not in TEXT_PROVING_KINDS or not isinstance(data, dict):
        return ()
    if "speech" not in data:
        return None
    speech = data["speech"]
    # A forged proof may be of any type. An empty one matches no text.
    return [each if isinstance(each, str) else "" for each in (speech if isinstance(speech, list) else [speech])]


def is_sealed(data: Any) -> bool:
    """Whether an event states that it is sealed."""
    stated = data.get(statements.ROWS) if isinstance(data, dict) else None
    return isinstance(stated, dict) and coverage.SEAL in stated


# Of an erasure: cause, user ID, number of lines, their hash.
Receipt = tuple[str, int | None, int, str]


def receipt_of(data: Any) -> Receipt:
    """Return the receipt that belongs to the data of an erasure event."""
    return data.get("cause", ""), data.get("user"), data.get("lines", 0), data.get("hash", "")


@dataclass(frozen=True)
class Chain:
    """A session's events, seals and head.

    Events and seals can be iterated repeatedly.
    """

    session: str
    events: Callable[[], Iterable[Event]]
    find: Callable[[int], Event | None]
    seals: Callable[[], Iterable[EndMark]]
    head: EndMark | None
    is_over: bool
    length: int


# Kind, number of the event, table and column.
ChainFault = tuple[FaultKind, int | None, str, str]


def chain_faults(chain: Chain) -> Iterator[ChainFault]:
    """Yield the faults of a chain and of its end marks.

    Seals and events are streamed.
    """
    head = chain.head
    is_head_signed = head is not None and is_signed_here(SessionHead, chain.session, head)
    newest = max((seal.number for seal in _signed_seals(chain)), default=0)
    sealed, mark = _SealedHashes(chain), head if is_head_signed else None

    def known(number: int) -> str:
        return mark.hash if mark and mark.number == number else sealed.hash_at(number)

    if found := hash_chain.find_tampering(chain.events(), known, chain.find, chain.length):
        kind, number, column = found
        yield kind, number, "event", column
    last = max(newest, mark.number if mark else 0)
    if last > chain.length:
        yield "truncated", chain.length + 1, "event", ""
    if not chain.length:
        yield "truncated", 1, "event", ""
    yield from _end_mark_faults(chain, newest, is_head_signed=is_head_signed)


def _signed_seals(chain: Chain) -> Iterator[EndMark]:
    return (seal for seal in chain.seals() if is_signed_here(SessionSeal, chain.session, seal))


class _SealedHashes:
    """The hashes in this portal's seals, for numbers requested in ascending order."""

    def __init__(self, chain: Chain) -> None:
        self._seals = _signed_seals(chain)
        self._next = next(self._seals, None)

    def hash_at(self, number: int) -> str:
        """Return the hash in the seal of this number, or an empty string without one."""
        while self._next is not None and self._next.number < number:
            self._next = next(self._seals, None)
        return self._next.hash if self._next is not None and self._next.number == number else ""


def _seal_faults(chain: Chain) -> Iterator[ChainFault]:
    for seal in chain.seals():
        if not is_signed_here(SessionSeal, chain.session, seal):
            yield "seal_forged", seal.number, "seal", _changed_column(SessionSeal, chain, seal)
    sealed = _SealedHashes(chain)
    for event in chain.events():
        if is_sealed(event.data) and not sealed.hash_at(event.number):
            yield "unsealed", event.number, "seal", ""


def _end_mark_faults(chain: Chain, newest: int, *, is_head_signed: bool) -> Iterator[ChainFault]:
    if chain.head is not None and not is_head_signed:
        # First, because a record with such a head may take neither event nor seal any more.
        yield "head_forged", chain.head.number, "head", _changed_column(SessionHead, chain, chain.head)
    yield from _seal_faults(chain)
    if chain.is_over and not newest:
        yield "unsealed", chain.length, "seal", ""
    if chain.is_over and 0 < newest < chain.length:
        is_unsealed = is_head_signed and chain.head and chain.head.number == chain.length
        yield ("unsealed", chain.length, "seal", "") if is_unsealed else ("inserted", newest + 1, "event", "")
    if chain.head is None:
        yield "headless", chain.length, "head", ""
    elif is_head_signed and chain.head.number < chain.length:
        if chain.is_over:
            yield "head_forged", chain.head.number, "head", "number"
        else:
            yield "inserted", chain.head.number + 1, "event", ""


def is_signed_here(model: type[SessionHead] | type[SessionSeal], session: str, mark: EndMark) -> bool:
    """Whether this portal signed the mark."""
    signature = str(mark.signature)
    if issubclass(model, SessionSeal):
        return model.is_signed(signature, session, mark.number, mark.hash, mark.at)
    return model.is_signed(signature, session, mark.number, mark.hash)


def _changed_column(model: Any, chain: Chain, mark: EndMark) -> str:
    """Return which column of an end mark was changed, judging by the chain."""
    try:
        event = chain.find(int(mark.number))
    except (TypeError, ValueError, OverflowError):
        return "number"
    if event and event.hash == mark.hash:
        is_time_signed = model is SessionSeal and SessionSeal.is_time_signed(str(mark.signature))
        return "at" if is_time_signed and not _is_soon_after(str(mark.at), str(event.at)) else "signature"
    for other in chain.events():
        if other.hash == mark.hash:
            return "number"
    return "hash"


def _is_soon_after(at: str, event_at: str) -> bool:
    """Whether a seal with this time was made together with its event.

    Times are in ISO 8601.
    """
    try:
        delay = datetime.fromisoformat(at) - datetime.fromisoformat(event_at)
    except (TypeError, ValueError):
        return False
    return abs(delay) <= MAX_SEALING_TIME
