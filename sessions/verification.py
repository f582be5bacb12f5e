"""Is the record as it was written? Every event's hash, every head and seal, every text that an event proves.

All of it is read once, in order, in batches and without making rows of it. A session that does not fit is looked at
again, locked: what changed while we read is no fault, and what is one gets its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Func, QuerySet, TextField

from heygen_portal import audit, guards
from sessions import sealing
from sessions.diagnosis import ERASED, TELLING, Event, Kept, Noted, Texts, diagnose, proofs, receipt_of
from sessions.events import digest_of
from sessions.faults import Fault
from sessions.models import (
    Erasure,
    SessionEvent,
    SessionHead,
    SessionSeal,
    SessionTask,
    Status,
    StreamingSession,
    Utterance,
)

BATCH = 10_000
"""Rows in memory at once."""


class Written(Func):
    """A moment as `isoformat` writes it, by the database: making one of each row costs more than its hash."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="replace(%(expressions)s, ' ', 'T') || '+00:00'")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        form = """'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'"""
        utc = f"to_char(%(expressions)s AT TIME ZONE 'UTC', {form})"
        return self.as_sql(compiler, connection, template=f"replace({utc}, '.000000', '')")


EVENT = ("number", "source", "kind", "data", Written("at"), "previous_hash", "hash")
NOTED = ("number", "hash", "signature")
HEAD = tuple(f"head__{name}" for name in NOTED)
RECEIPT = ("cause", "by_id", "lines", "hash")


@dataclass
class Count:
    """How far a look has come."""

    sessions: int = 0
    events: int = 0
    entries: int = 0


def faults(count: Count | None = None) -> Iterator[Fault]:
    """Look through everything; yield the first fault of the audit's list, and of each session that has one."""
    count = count or Count()
    if guards.missing(connection):
        yield Fault("unguarded")
    count.entries, harm = audit.check()
    if harm:
        yield Fault(harm[0], number=harm[1])
    events = _Groups(SessionEvent.objects.order_by("session_id", "number", "pk"), *EVENT)
    seals = _Groups(SessionSeal.objects.order_by("session_id", "number"), *NOTED)
    said = _Groups(Utterance._base_manager.order_by("session_id"), "sealed")
    sent = _Groups(SessionTask._base_manager.order_by("session_id"), "sealed", "status")
    receipts = _Groups(Erasure.objects.order_by("session_id"), *RECEIPT)
    sessions = StreamingSession.objects.order_by("pk")
    for pk, status, *head in sessions.values_list("pk", "status", *HEAD).iterator(chunk_size=BATCH):
        for orphan in events.before(pk):
            yield from _as_list(look_at(orphan))
        kept = _kept(pk, status, events.of(pk), head, seals.of(pk), said.of(pk), sent.of(pk), receipts.of(pk))
        count.sessions += 1
        count.events += len(kept.chain)
        if not _is_whole(kept):
            yield from _as_list(look_at(pk))
    for orphan in events.rest():
        yield from _as_list(look_at(orphan))


def look_at(session_id: UUID) -> Fault | None:
    """Look at one session as it is now, while nobody can add to it; return the first thing that does not fit."""
    with transaction.atomic():
        rows = StreamingSession.objects.select_for_update(of=("self",)).filter(pk=session_id)
        session = rows.values_list("status", *HEAD).first()

        def all_of(rows: QuerySet[Any], *columns: str | Func) -> list[Any]:
            return list(rows.filter(session_id=session_id).values_list("session_id", *columns))

        chain = all_of(SessionEvent.objects.order_by("number", "pk"), *EVENT)
        seals = all_of(SessionSeal.objects.order_by("number"), *NOTED)
        said = all_of(Utterance._base_manager.all(), "sealed")
        sent = all_of(SessionTask._base_manager.all(), "sealed", "status")
        receipts = all_of(Erasure.objects.all(), *RECEIPT)
    if session is None:
        return Fault("session_deleted", str(session_id), 1) if chain else None
    status, *head = session
    kept = _kept(session_id, status, chain, head, seals, said, sent, receipts)
    if _is_whole(kept):
        return None
    how, number = diagnose(kept)
    return Fault(how, str(session_id), number)


def _as_list(fault: Fault | None) -> list[Fault]:
    return [fault] if fault else []


Rows = Iterable[tuple[Any, ...]]
"""Of one session, whose key comes first."""


def _kept(
    pk: UUID, status: str, chain: Rows, head: Sequence[Any], seals: Rows, said: Rows, sent: Rows, receipts: Rows
) -> Kept:
    return Kept(
        session=str(pk),
        status=status,
        chain=[Event._make(row) for row in chain],
        head=Noted._make(head) if head[0] is not None else None,
        seals=[Noted._make(row[1:]) for row in seals],
        texts=_texts(said, sent),
        receipts=[row[1:] for row in receipts],
    )


class _Groups:
    """Rows of a query in the order of their sessions, handed out session by session."""

    def __init__(self, rows: QuerySet[Any], *columns: str | Func) -> None:
        found = rows.values_list("session_id", *columns).iterator(chunk_size=BATCH)
        self._groups = groupby(found, key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, session_id: UUID) -> list[Any]:
        for _skipped in self.before(session_id):
            pass  # of a session that came while we read, or that is gone
        if self._next is None or self._next[0] != session_id:
            return []
        rows = list(self._next[1])
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


def _texts(said: Rows, sent: Rows) -> Texts:
    texts = Texts({sealing.fingerprint(bytes(sealed)) for _session, sealed in said})
    for _session, sealed, status in sent:
        print_ = sealing.fingerprint(bytes(sealed))
        texts.stored.add(print_)
        if status == SessionTask.Status.SENDING:
            texts.unsettled.add(print_)
    return texts


def _is_whole(kept: Kept) -> bool:
    return bool(kept.chain) and _is_chained(kept.chain) and _is_noted(kept) and _is_proved(kept)


def _is_chained(chain: Sequence[Event]) -> bool:
    last_hash, name = "", str(chain[0].session)
    for expected, (_session, number, source, kind, data, at, before, its_hash) in enumerate(chain, start=1):
        if number != expected or before != last_hash:
            return False
        if its_hash != digest_of(before, name, number, source, kind, data, at):
            return False
        last_hash = its_hash
    return True


def _is_noted(kept: Kept) -> bool:
    """Whether the record ends where its head says, and what is over where its last seal says."""
    length = len(kept.chain)
    if kept.head is None or kept.head.number != length or (kept.status == Status.ENDED and not kept.seals):
        return False
    if kept.status == Status.ENDED and kept.seals[-1].number != length:
        return False
    return _holds(kept, kept.head, SessionHead.is_signed) and all(
        _holds(kept, seal, SessionSeal.is_signed) for seal in kept.seals
    )


def _holds(kept: Kept, noted: Noted, is_signed: Callable[[str, str, int, str], bool]) -> bool:
    if not is_signed(noted.signature, kept.session, noted.number, noted.hash):
        return False
    return 0 < noted.number <= len(kept.chain) and kept.chain[noted.number - 1].hash == noted.hash


def _is_proved(kept: Kept) -> bool:
    """Whether the texts, and the receipts of their erasure, are those that the events tell of."""
    proved: set[str] = set()
    receipts, knows_all = [], True
    for event in kept.chain:
        if event.kind in TELLING:
            found = proofs(event)
            proved.update(found or ())
            knows_all &= found is not None
        elif event.kind == ERASED:
            receipts.append(receipt_of(event))
    texts = kept.texts
    if not proved <= texts.stored or (knows_all and not texts.stored - texts.unsettled <= proved):
        return False
    return receipts == kept.receipts
