"""Which of a session's rows does not fit, and what was done to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from heygen_portal import chains
from sessions.events import digest_of
from sessions.faults import How
from sessions.models import SessionHead, SessionSeal, Status

ERASED = "speech_erased"
TELLING = {"task", "avatar_end_message", "user_end_message", "provider_record"}
"""Kinds of event that prove a text."""


class Event(NamedTuple):
    """One row of the chain."""

    session: Any
    number: int
    source: str
    kind: str
    data: Any
    at: str
    previous_hash: str
    hash: str

    def digest(self, number: int | None = None) -> str:
        said = (self.source, self.kind, self.data, self.at)
        return digest_of(self.previous_hash, str(self.session), number or self.number, *said)


class Noted(NamedTuple):
    """A seal, or the head: so many events, the last with this hash, signed."""

    number: int
    hash: str
    signature: str


@dataclass
class Texts:
    """The fingerprints of a session's stored texts, and of those whose event may not be written yet."""

    stored: set[str] = field(default_factory=set)
    unsettled: set[str] = field(default_factory=set)


Receipt = tuple[str, int | None, int, str]
"""Of an erasure: cause, by whom, how many lines, their hash."""


@dataclass(frozen=True)
class Kept:
    """All that is stored of a session and proves something."""

    session: str
    status: str
    chain: Sequence[Event]
    head: Noted | None
    seals: Sequence[Noted]
    texts: Texts
    receipts: Sequence[Receipt]


def proofs(event: Event) -> Collection[str] | None:
    """Return which texts an event proves, or None for one that is older than such proofs."""
    if event.kind not in TELLING:
        return ()
    if "speech" not in event.data:
        return None
    speech = event.data["speech"]
    return speech if isinstance(speech, list) else [speech]


def receipt_of(event: Event) -> Receipt:
    """Return what the receipt of an erasure has to say, after the event that tells of it."""
    said = event.data
    return said.get("cause", ""), said.get("user"), said.get("lines", 0), said.get("hash", "")


def diagnose(kept: Kept) -> tuple[How, int | None]:
    """Say what is wrong with a session of which something is, and name the event."""
    return next((wrong for wrongs in (_of_chain, _of_notes, _of_texts) for wrong in wrongs(kept)), ("changed", None))


def _of_chain(kept: Kept) -> Iterator[tuple[How, int | None]]:
    known = {note.number: note.hash for note in (*_own_seals(kept), *([kept.head] if _is_own_head(kept) else ()))}
    if harm := chains.misfit(kept.chain, known):
        yield harm
    if not kept.chain:
        yield "truncated", 1


def _of_notes(kept: Kept) -> Iterator[tuple[How, int | None]]:
    own, is_over, length = _own_seals(kept), kept.status == Status.ENDED, len(kept.chain)
    yield from (("seal_forged", seal.number) for seal in kept.seals if seal not in own)
    if is_over and not own:
        yield "unsealed", length
    if is_over and own[-1].number < length:
        yield "inserted", own[-1].number + 1
    if kept.head is None:
        yield "headless", length
    elif not _is_own_head(kept):
        yield "head_forged", kept.head.number
    elif kept.head.number < length:
        yield ("head_forged", kept.head.number) if is_over else ("inserted", kept.head.number + 1)


def _of_texts(kept: Kept) -> Iterator[tuple[How, int | None]]:
    erasures = [event for event in kept.chain if event.kind == ERASED]
    for event in kept.chain:
        if not set(proofs(event) or ()) <= kept.texts.stored:
            yield "text_changed", event.number
    yield from (("receipt", event.number) for event in erasures if receipt_of(event) not in kept.receipts)
    if len(kept.receipts) > len(erasures):
        yield "receipt", None
    yield "text_inserted", None


def _own_seals(kept: Kept) -> list[Noted]:
    """The seals that this portal made."""
    return [seal for seal in kept.seals if SessionSeal.is_signed(seal.signature, kept.session, seal.number, seal.hash)]


def _is_own_head(kept: Kept) -> bool:
    head = kept.head
    return head is not None and SessionHead.is_signed(head.signature, kept.session, head.number, head.hash)
