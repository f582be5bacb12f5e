"""Is the record as it was written? Every event's hash, every seal, every text that an event proves.

All of it is read once, in order, in batches and without making rows of it. A session that does not fit is looked at
again, locked: what changed while we read is no fault, and what is one gets its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sessions import guards, sealing
from sessions.events import digest_of
from sessions.models import SessionEvent, SessionSeal, SessionTask, Status, StreamingSession, Utterance

BATCH = 10_000
"""Rows in memory at once."""

How = Literal[
    "changed",
    "deleted",
    "inserted",
    "swapped",
    "truncated",
    "forged",
    "unsealed",
    "seal_forged",
    "text_changed",
    "text_inserted",
    "session_deleted",
    "unguarded",
    "anchor",
]

WORDS = {
    "changed": _("What the event says was changed."),
    "deleted": _("One or more events were deleted here."),
    "inserted": _("The event was inserted."),
    "swapped": _("The event stands in another's place."),
    "truncated": _("The events from here on were cut off."),
    "forged": _("The event was written anew, with a hash that fits it."),
    "unsealed": _("The session is over, but its seal is missing."),
    "seal_forged": _("The seal was not made by this portal."),
    "text_changed": _("A text was changed or deleted that this event proves."),
    "text_inserted": _("A text was added that no event proves."),
    "session_deleted": _("The session was deleted, but not all of its record."),
    "unguarded": _("The database lets events be changed: the triggers are missing."),
    "anchor": _("The seals are not what the anchor says that they were."),
}


@dataclass(frozen=True)
class Fault:
    """The first thing of one session that does not fit; `number` is the event's, `session` is empty for the whole."""

    how: How
    session: str = ""
    number: int | None = None

    def in_words(self) -> str:
        place = gettext("Session %(session)s") % {"session": self.session} if self.session else ""
        if self.number:
            place += (gettext(", event %(number)s") if self.session else gettext("Anchor %(number)s")) % {
                "number": self.number
            }
        return f"{place}: {WORDS[self.how]}" if place else str(WORDS[self.how])

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Count:
    """How far a look has come."""

    sessions: int = 0
    events: int = 0


class Event(NamedTuple):
    """One row of the chain, without its session."""

    number: int
    source: str
    kind: str
    data: Any
    at: Any
    previous_hash: str
    hash: str

    def fits(self, session_id: str, number: int | None = None) -> bool:
        """Whether its hash is that of what it says, were it this number."""
        said = (self.source, self.kind, self.data, self.at)
        return self.hash == digest_of(self.previous_hash, session_id, number or self.number, *said)


Seal = tuple[int, str, str]
"""Number, hash, signature."""


@dataclass
class Texts:
    """The fingerprints of a session's stored texts, and of those whose event may not be written yet."""

    stored: set[str] = field(default_factory=set)
    unsettled: set[str] = field(default_factory=set)


def faults(count: Count | None = None) -> Iterator[Fault]:
    """Look through everything; yield the first fault of each session that has one."""
    count = count or Count()
    if guards.missing(connection):
        yield Fault("unguarded")
    events = _Groups(SessionEvent.objects.order_by("session_id", "number", "pk"), *("number", *Event._fields[1:]))
    seals = _Groups(SessionSeal.objects.order_by("session_id", "number"), "number", "hash", "signature")
    said = _Groups(Utterance._base_manager.order_by("session_id"), "sealed")
    sent = _Groups(SessionTask._base_manager.order_by("session_id"), "sealed", "status")
    sessions = StreamingSession.objects.order_by("pk").values_list("pk", "status")
    for pk, status in sessions.iterator(chunk_size=BATCH):
        for orphan in events.before(pk):
            yield from _as_list(look_at(orphan))
        chain = [Event(*row) for row in events.of(pk)]
        count.sessions += 1
        count.events += len(chain)
        texts = _texts([row[0] for row in said.of(pk)], sent.of(pk))
        if not _is_whole(str(pk), status, chain, seals.of(pk), texts):
            yield from _as_list(look_at(pk))
    for orphan in events.rest():
        yield from _as_list(look_at(orphan))


def look_at(session_id: UUID) -> Fault | None:
    """Look at one session as it is now, while nobody can add to it; return the first thing that does not fit."""
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().filter(pk=session_id).only("status").first()
        rows = SessionEvent.objects.filter(session_id=session_id).order_by("number", "pk")
        chain = [Event(*row) for row in rows.values_list(*Event._fields)]
        seals = SessionSeal.objects.filter(session_id=session_id).order_by("number")
        said = Utterance._base_manager.filter(session_id=session_id).values_list("sealed", flat=True)
        sent = SessionTask._base_manager.filter(session_id=session_id).values_list("sealed", "status")
        texts = _texts(said, sent)
        known = list(seals.values_list("number", "hash", "signature"))
    if session is None:
        return Fault("session_deleted", str(session_id), 1) if chain else None
    name, status = str(session_id), session.status
    if _is_whole(name, status, chain, known, texts):
        return None
    how, number = _diagnose(name, status, chain, known, texts)
    return Fault(how, name, number)


def _as_list(fault: Fault | None) -> list[Fault]:
    return [fault] if fault else []


class _Groups:
    """Rows of a query in the order of their sessions, handed out session by session."""

    def __init__(self, rows: QuerySet[Any], *columns: str) -> None:
        found = rows.values_list("session_id", *columns).iterator(chunk_size=BATCH)
        self._groups = groupby(found, key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, session_id: UUID) -> list[Any]:
        for _skipped in self.before(session_id):
            pass  # of a session that came while we read, or that is gone
        if self._next is None or self._next[0] != session_id:
            return []
        rows = [row[1:] for row in self._next[1]]
        self._next = next(self._groups, None)
        return rows

    def before(self, session_id: UUID) -> Iterator[UUID]:
        """Yield the sessions whose rows come before this one's and were not asked for."""
        return self._skip(lambda pk: pk < session_id)

    def rest(self) -> Iterator[UUID]:
        return self._skip(lambda pk: True)

    def _skip(self, is_meant: Callable[[UUID], bool]) -> Iterator[UUID]:
        while self._next is not None and is_meant(self._next[0]):
            pk = self._next[0]
            self._next = next(self._groups, None)
            yield pk


def _texts(said: Iterable[Any], sent: Iterable[Any]) -> Texts:
    texts = Texts({sealing.fingerprint(bytes(sealed)) for sealed in said})
    for sealed, status in sent:
        print_ = sealing.fingerprint(bytes(sealed))
        texts.stored.add(print_)
        if status == SessionTask.Status.SENDING:
            texts.unsettled.add(print_)
    return texts


def _is_whole(name: str, status: str, chain: Sequence[Event], seals: Sequence[Seal], texts: Texts) -> bool:
    previous, expected = "", 0
    proved: set[str] = set()
    is_proved = True
    for event in chain:
        expected += 1
        if event.number != expected or event.previous_hash != previous or not event.fits(name):
            return False
        previous = event.hash
        if (found := _proofs(event)) is None:
            is_proved = False
        else:
            proved.update(found)
    if not proved <= texts.stored or (is_proved and not texts.stored - texts.unsettled <= proved):
        return False
    if status == Status.ENDED and (not seals or seals[-1][0] != expected):
        return False
    return all(_holds(name, seal, chain) for seal in seals)


TELLING = {"task", "avatar_end_message", "user_end_message", "provider_record"}
"""Kinds of event that prove a text."""


def _proofs(event: Event) -> list[str] | None:
    """Return which texts an event proves, or None for one that is older than such proofs."""
    if event.kind not in TELLING:
        return []
    if "speech" not in event.data:
        return None
    speech = event.data["speech"]
    return speech if isinstance(speech, list) else [speech]


def _holds(name: str, seal: Seal, chain: Sequence[Event]) -> bool:
    number, last_hash, signature = seal
    if signature != sealing.sign(name, number, last_hash):
        return False
    return 0 < number <= len(chain) and chain[number - 1].hash == last_hash


def _diagnose(
    name: str, status: str, chain: Sequence[Event], seals: Sequence[Seal], texts: Texts
) -> tuple[How, int | None]:
    """Say what is wrong with a session of which something is."""
    true_seals = [seal for seal in seals if seal[2] == sealing.sign(name, seal[0], seal[1])]
    sealed = {number: last_hash for number, last_hash, _signature in true_seals}
    previous = ""
    for place, event in enumerate(chain):
        number = place + 1
        following = chain[place + 1] if place + 1 < len(chain) else None
        if event.number == number and event.previous_hash == previous and event.fits(name):
            previous = event.hash
            continue
        return _misfit(name, number, event, chain, following, sealed)
    false_seal = next((seal[0] for seal in seals if seal not in true_seals), None)
    if false_seal is not None:
        return "seal_forged", false_seal
    return _not_as_sealed(status, chain, sealed) or _not_as_said(chain, texts)


def _not_as_sealed(status: str, chain: Sequence[Event], sealed: dict[int, str]) -> tuple[How, int] | None:
    for number, last_hash in sealed.items():
        if number > len(chain):
            return "truncated", len(chain) + 1
        if chain[number - 1].hash != last_hash:
            return "forged", number
    if status == Status.ENDED and len(chain) > max(sealed, default=-1):
        return ("inserted", max(sealed) + 1) if sealed else ("unsealed", len(chain))
    return None


def _not_as_said(chain: Sequence[Event], texts: Texts) -> tuple[How, int | None]:
    for event in chain:
        if not set(_proofs(event) or ()) <= texts.stored:
            return "text_changed", event.number
    return "text_inserted", None


def _misfit(
    name: str,
    number: int,
    event: Event,
    chain: Sequence[Event],
    following: Event | None,
    sealed: dict[int, str],
) -> tuple[How, int | None]:
    """Say what happened where the chain breaks: at `number`, where `event` stands."""
    known_as = following.previous_hash if following else sealed.get(number, "")
    if event.number == number - 1:
        return "inserted", number - 1  # the same number twice
    if event.number > number:
        return "deleted", number
    if event.fits(name):
        # It is in order in itself, but follows another row than the one that stands before it.
        is_original = number > 1 and known_as in (event.hash, "")
        return "forged", number - 1 if is_original else number
    was = next((place for place in range(1, len(chain) + 2) if event.fits(name, place)), None)
    if was is None:
        if following and following.fits(name, number):
            return "inserted", number  # the rest was moved up
        said = (event.source, event.kind, event.data, event.at)
        is_own = known_as == digest_of(event.previous_hash, name, event.number, *said)
        return ("forged" if is_own else "changed"), number
    if was == number - 1:
        return "inserted", was  # what follows was moved up
    there = chain[was - 1] if was <= len(chain) else None
    if there and there.fits(name, number):
        return "swapped", number
    return "deleted", number  # what follows was moved down
