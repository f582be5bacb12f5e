"""Is the record as it was written? Every event, head and seal, and every row that is shown against what events state.

All of it is read once, in the order of the sessions, as a stream: memory does not grow with a session's length. A
session that seems not to fit is looked at again with its row locked: what changed while it was read is no fault, and
what is one gets its row's and column's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import count as counting
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count as Counted
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone

from heygen_portal.trail import db_triggers
from heygen_portal.trail.raw_values import (
    AsText,
    DecimalText,
    IsoText,
    MicrosecondsText,
    blob,
    invalid_utf8_allowed,
    sort_key,
)
from sessions.integrity import audit_statements, diagnosis, worker_columns
from sessions.integrity.damage import Fault, How
from sessions.integrity.diagnosis import ERASED, TELLING, Chain, Event, Noted, data_of, proofs
from sessions.integrity.scope import BATCH, MOST_FAULTS, USUAL_BOUNDS, Bounds, Count, is_in_share
from sessions.lifecycle import coverage
from sessions.lifecycle.coverage import BELOW, CARRIED, CONVERSATION, ERASURE, LINE, ROWS, SESSION, TABLES, TASK, Table
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import digest_of
from sessions.models import (
    Conversation,
    DayTotal,
    Erasure,
    SessionEvent,
    SessionHead,
    SessionSeal,
    SessionTask,
    SessionTotal,
    SpeechKey,
    Status,
    StreamingSession,
    sealing,
)

SETTLED = timedelta(minutes=2)
"""After so long a text that is being sent must have its event."""
CLOCKS_APART = timedelta(seconds=5)
"""How far the clock of another process may be ahead of this one's."""
UNNAMED: diagnosis.Wrong = ("changed", None, "event", "")
UPGRADED = EventKind.RECORD_UPGRADED
"""The event that states what rows of an earlier format show."""

EVENT = ("number", "source", "kind", AsText("data"), IsoText("at"), "prints", "previous_hash", "hash")
NOTED = ("number", "hash", "signature")
HEAD = tuple(f"head__{name}" for name in NOTED)
SEAL = (*NOTED, IsoText("at"))


def faults(count: Count | None = None, bounds: Bounds = USUAL_BOUNDS) -> Iterator[Fault]:
    """Look through everything; yield the first faults of the audit's list, and of each session that has any."""
    count = count or Count()
    if db_triggers.missing(connection):
        yield Fault("unguarded")
    with invalid_utf8_allowed(connection):
        yield from audit_statements.faults(count, bounds)
        yield from _session_faults(count, bounds)
        yield from _conversations_without_session()
        yield from worker_columns.faults()
        yield from _day_faults(count)


def _session_faults(count: Count, bounds: Bounds) -> Iterator[Fault]:
    streams = _Streams(bounds)
    for row in _sessions(StreamingSession.objects.all()).iterator(chunk_size=bounds.batch):
        for orphan in streams.before(row[0]):
            yield from faults_of(orphan, bounds)
        count.sessions += 1
        found = Found(row, bounds)
        if not found.is_whole(streams, count):
            yield from faults_of(found.session, bounds)
    for orphan in streams.before(None):
        yield from faults_of(orphan, bounds)


def _conversations_without_session() -> Iterator[Fault]:
    """Name conversations that no session's record could state."""
    for pk in _orphans(Conversation, "pk").order_by("pk").values_list(AsText("pk"), flat=True)[:MOST_FAULTS]:
        yield Fault("row_added", table=CONVERSATION.name, row=pk)


def look_at(session_id: UUID | str) -> Fault | None:
    """Look at one session as it is now, while nobody can add to it; return the first thing that does not fit."""
    return next(iter(faults_of(session_id)), None)


def faults_of(session_id: UUID | str, bounds: Bounds = USUAL_BOUNDS) -> list[Fault]:
    """Look at one session as it is now, while nobody can add to it; return what does not fit, up to `MOST_FAULTS`."""
    session: Any = str(session_id)
    if not _is_id(session):
        return _without_id(session)
    with invalid_utf8_allowed(connection), transaction.atomic():
        rows = StreamingSession.objects.filter(pk=session)
        rows.select_for_update(of=("self",)).order_by().values_list("pk").first()
        row = _sessions(rows).first()
        if row is None:
            has_rest = SessionEvent.objects.filter(session_id=session).exists()
            rows = StreamingSession.objects.exclude(Exists(SessionEvent.objects.filter(session_id=OuterRef("pk"))))
            column = "id" if has_rest and rows.exists() else ""
            return [Fault("session_deleted", session, 1, "session", session, column)] if has_rest else []
        return list(islice(_wrongs_of(row, bounds), MOST_FAULTS))


def _is_id(session: str) -> bool:
    try:
        return bool(UUID(session))
    except ValueError:
        return False


def _without_id(session: str) -> list[Fault]:
    """Name a session, or one that rows say they belong to, whose ID is none."""
    with invalid_utf8_allowed(connection):
        every = StreamingSession.objects.order_by().values_list(AsText("pk"), flat=True)
        is_there = session in every.iterator(chunk_size=BATCH)  # it may be no text, which no query takes
    return [
        Fault(
            "row_changed", session, None, "session" if is_there else "event", session, "id" if is_there else "session"
        )
    ]


def _wrongs_of(row: tuple[Any, ...], bounds: Bounds) -> Iterator[Fault]:
    """Look through a session in as many passes as keep few of its rows in memory."""
    for shares in (1 << power for power in counting()):
        first = Found(row, bounds, 0, shares)
        first.is_whole(_Streams(bounds, first.session), Count())
        if first.is_too_much:
            continue
        if not first.is_chained:
            yield from _wrongs_of_chain(first, bounds)
            return
        yield from first.faults
        for share in range(1, shares):
            found = Found(row, bounds, share, shares)
            found.is_whole(_Streams(bounds, found.session), Count())
            yield from found.faults
        return


def _wrongs_of_chain(found: Found, bounds: Bounds) -> Iterator[Fault]:
    session: Any = found.session
    events = SessionEvent.objects.filter(session_id=session).order_by("number", "pk")
    seals = SessionSeal.objects.filter(session_id=session).order_by("number", "pk")

    def find(number: int) -> Event | None:
        row = events.filter(number=number).values_list(*EVENT).first()
        return _event(found.session, row) if row else None

    chain = Chain(
        found.session,
        lambda: (_event(found.session, row) for row in events.values_list(*EVENT).iterator(chunk_size=bounds.batch)),
        find,
        lambda: (Noted._make(row) for row in seals.values_list(*SEAL).iterator(chunk_size=bounds.batch)),
        found.head,
        found.is_over,
        events.count(),
    )
    how, number, table, column = next(diagnosis.wrongs(chain), UNNAMED)
    if table == "event" and how == "deleted" and number:
        before = find(number - 1)
        moved = (
            SessionEvent.objects.order_by().filter(previous_hash=before.hash) if before else SessionEvent.objects.none()
        )
        if its_session := moved.values_list(AsText("session_id"), flat=True).first():
            column = "number" if _name(its_session) == found.session else "session"
        elif events.filter(number__lt=1).exists():
            column = "number"
    elif (how == "headless" and _has_orphan(SessionHead)) or (how == "unsealed" and _has_orphan(SessionSeal)):
        column = "session"
    yield Fault(how, found.session, number, table=table, row=str(number or ""), column=column)


def _event(session: str, row: tuple[Any, ...]) -> Event:
    number, source, kind, data, *rest = row
    return Event(session, number, source, kind, data_of(data), *rest)


def _sessions(rows: QuerySet[StreamingSession]) -> QuerySet[Any]:
    return SESSION.stored(rows.order_by("pk"), *HEAD)


def _name(pk: str) -> str:
    """Return a session's ID as its events were hashed with it."""
    return str(UUID(pk)) if len(pk) != 36 and _is_id(pk) else pk


class Found:
    """What one pass finds of a session: its chain, what its events state, and how its rows compare with that.

    With several shares, only the rows of one share are compared.
    """

    def __init__(self, row: tuple[Any, ...], bounds: Bounds, share: int = 0, shares: int = 1) -> None:
        self.bounds = bounds
        self.pk = row[0]
        self.session = _name(self.pk)
        *own, number, its_hash, signature = row
        self.own = SESSION.read(tuple(own))
        self.is_over = self.own["status"] == Status.ENDED
        its_format = self.own["record_format"]
        self.format = its_format if isinstance(its_format, int) else coverage.FORMAT
        self.is_older = self.format < coverage.WHOLE_ROWS
        self.head = Noted(number, its_hash, signature) if number is not None else None
        self.seal: Noted | None = None
        self.share, self.shares = share, shares
        self.stated: dict[tuple[str, str], dict[str, Any]] = {}
        self.number_of: dict[tuple[str, str], int] = {}
        self.proofs: dict[str, int] = {}
        self.knows_all = True
        self.erasures: list[tuple[int, diagnosis.Receipt]] = []
        self.holds = 0
        self.is_too_much = False
        self.is_chained = False
        self.faults: list[Fault] = []

    def is_whole(self, streams: _Streams, count: Count) -> bool:
        """Read all that belongs to the session; return whether it fits."""
        length, last_hash, is_fine = self._read_chain(streams.events.of(self.pk), streams.seals.of(self.pk), count)
        self.is_chained = is_fine and length > 0 and self._is_noted(length, last_hash)
        if self.is_chained and not self.is_too_much:
            self._compare(streams, count)
        count.older += self.format < coverage.FORMAT
        count.rows["session"] += 1
        count.rows["head"] += self.head is not None
        return self.is_chained and not self.faults and not self.is_too_much

    def _read_chain(self, events: Iterable[Any], seals: Iterator[Any], count: Count) -> tuple[int, str, bool]:
        session, expected, last_hash, is_fine = self.session, 0, "", True
        seal = next(seals, None)
        for _pk, number, source, kind, text, at, prints, before, its_hash in events:
            expected += 1
            data = data_of(text)
            try:
                is_same = its_hash == digest_of(before, session, number, source, kind, data, at, prints)
            except (TypeError, ValueError, RecursionError):
                is_same = False
            if number != expected or before != last_hash or not is_same:
                row = Event(session, number, source, kind, data, at, prints, before, its_hash)
                is_fine = is_fine and number == expected and before == last_hash and row.matches_hash()
            last_hash = its_hash
            while seal is not None and seal[1] == number:
                count.rows["seal"] += 1
                self.seal = Noted._make(seal[1:])
                is_fine = is_fine and seal[2] == its_hash and diagnosis.is_own(SessionSeal, session, self.seal)
                seal = next(seals, None)
            is_fine = is_fine and isinstance(data, dict)
            if is_fine and (ROWS in data or kind in TELLING or kind in diagnosis.KEEPING):
                is_fine = not diagnosis.is_sealed(data) or (self.seal is not None and self.seal.number == number)
                self._note(expected, kind, data, at)
        count.events += expected
        count.rows["event"] += expected
        return expected, last_hash, is_fine and seal is None

    def _is_noted(self, length: int, last_hash: str) -> bool:
        """Whether the record ends where its head says, and what is over where its last seal says."""
        head, seal = self.head, self.seal
        if head is None or (head.number, head.hash) != (length, last_hash):
            return False
        if self.is_over and (seal is None or seal.number != length):
            return False
        return diagnosis.is_own(SessionHead, self.session, head)

    def _note(self, number: int, kind: str, data: Any, at: str) -> None:
        """Keep what an event states and proves."""
        told = proofs(kind, data)
        if told is None:
            self.knows_all = False
        for proof in told or ():
            if self._is_mine("", proof):
                self.proofs[proof] = number
        if kind in diagnosis.KEEPING:
            self._note_keeping(number, kind, data)
        for table, key, said in coverage.stated_in(data):
            if table in TABLES and self._is_mine(table, key):
                since = {"": at} if kind == UPGRADED else {}  # since when it is stated
                self.stated.setdefault((table, key), {}).update({**said, **since})
                self.number_of[table, key] = number
        if self.share == 0 and len(self.stated) + len(self.proofs) > self.bounds.stated:
            self.is_too_much = True
            self.stated, self.proofs, self.number_of = {}, {}, {}

    def _note_keeping(self, number: int, kind: str, data: Any) -> None:
        if kind != ERASED:
            self.holds += 1 if kind == diagnosis.HELD else -1
            return
        if self.holds > 0 and self.share == 0:
            self._tell("held_erased", ERASURE, "", "", number)
        self.erasures.append((number, diagnosis.receipt_of(data)))

    def _is_mine(self, table: str, key: str) -> bool:
        if self.shares == 1 or table == "session":
            return self.share == 0
        return is_in_share(table, key, self.share, self.shares)

    def _compare(self, streams: _Streams, count: Count) -> None:
        unseen = dict(self.proofs)
        has_unproved = False
        sending: set[Any] = set()
        extra: list[tuple[Table, str, dict[str, Any]]] = []
        receipts: list[diagnosis.Receipt] = []
        has_text = False
        if self.share == 0:
            self._compare_row(SESSION, "", self.own, count)
        for table in BELOW:
            for row in streams.below[table.name].of(self.pk):
                count.rows[table.name] += 1
                key, found = table.key(row[1]), table.read(row)
                is_stated = (table.name, key) in self.stated
                if table is ERASURE:
                    receipts.append((found["cause"], found["by"], found["lines"], found["hash"]))
                elif table in (TASK, LINE):
                    has_text = True
                    is_settled = is_stated or not self._is_on_its_way(table, found, sending)
                    if self.is_older and self._is_mine("", found["sealed"]):
                        unseen.pop(found["sealed"], None)
                        is_proved = found["sealed"] in self.proofs or is_stated or not is_settled
                        has_unproved = has_unproved or not is_proved
                    if not is_settled:
                        continue
                if not self._is_mine(table.name, key):
                    continue
                for name in table.misfits(row):
                    self._tell("row_changed", table, key, name, None)
                if is_stated:
                    self._compare_row(table, key, found, count)
                elif self.format < table.since:
                    count.unstated.update(f"{table.name}.{name}" for name in table.fields)
                elif len(extra) < MOST_FAULTS:
                    extra.append((table, key, found))
        self._compare_missing(extra)
        self._compare_proofs(unseen, has_unproved=has_unproved)
        if self.share == 0:
            self._compare_receipts(receipts)
            self._compare_keys(streams.keys.of(self.pk), count, has_text=has_text)

    def _compare_proofs(self, unseen: Mapping[str, int], *, has_unproved: bool) -> None:
        """Compare texts with what events have proved since before they state whole rows."""
        if not self.is_older:
            return
        if unseen:
            self._tell("text_changed", coverage.LINE, "", "sealed", next(iter(unseen.values())))
        elif self.knows_all and has_unproved:
            self._tell("text_inserted", coverage.LINE, "", "", None)

    def _compare_receipts(self, receipts: list[diagnosis.Receipt]) -> None:
        told = [receipt for _number, receipt in self.erasures]
        if told != receipts and not any(fault.table == "erasure" for fault in self.faults):
            number = next((number for number, receipt in self.erasures if receipt not in receipts), None)
            self._tell("receipt", ERASURE, "", "", number)

    def _compare_row(self, table: Table, key: str, found: Mapping[str, Any], count: Count) -> None:
        stated = self.stated.pop((table.name, key), {})
        if table is SESSION and not stated:
            if not self.is_older and self.share == 0:
                self._tell("unstated", table, key, "record_format", None)
            for name in table.fields:
                count.unstated[f"{table.name}.{name}"] += 1
            return
        late = frozenset() if self.is_over else table.late
        for name in coverage.differing(stated, found):
            if name not in late:
                self._tell("row_changed", table, key, name, self.number_of.get((table.name, key)))
        count.note(table, stated, skipped=late)

    def _is_on_its_way(self, table: Table, found: Mapping[str, Any], sending: set[Any]) -> bool:
        """Whether this is a text that is being sent, or its line: their event comes with the provider's answer."""
        at = str(found.get("created_at"))
        is_young = self._may_be_sending and self._sending_since < at < (timezone.now() + CLOCKS_APART).isoformat()
        has_room = len(sending) < self.bounds.stated
        if table is TASK and found["status"] == SessionTask.Status.SENDING and is_young and has_room:
            sending.add(found["created_at"])
            return True
        is_typed = table is LINE and (found["by"], found["source"]) == ("text", "portal")
        return is_typed and found["at"] in sending

    @property
    def _sending_since(self) -> str:
        """From when on a text of this session may still be on its way."""
        settled = (timezone.now() - SETTLED).isoformat()
        return max(settled, str(self.own["created_at"]))

    @property
    def _may_be_sending(self) -> bool:
        """Whether the session runs, or has ended just now: an answer of the provider's may come after the end."""
        return not self.is_over or str(self.own["ended_at"]) > (timezone.now() - SETTLED).isoformat()

    def _compare_keys(self, keys: Iterable[Any], count: Count, *, has_text: bool) -> None:
        """Compare the key of the session's speech with the receipts of its erasure."""
        has_key = False
        for _session, wrapped, erased_at in keys:
            has_key = True
            count.rows["speech_key"] += 1
            is_erased = bool(self.erasures)
            if (erased_at is not None) != is_erased:
                self._tell("key_destroyed", None, "", "erased_at", None)
            elif not is_erased and not _opens(wrapped, self.session):
                self._tell("key_destroyed", None, "", "wrapped", None)
            elif is_erased and _is_kept(wrapped):
                self._tell("key_kept", None, "", "wrapped", None)
        if has_text and not has_key:
            self._tell("key_destroyed", None, "", "session" if _has_orphan(SpeechKey) else "", None)

    def _compare_missing(self, extra: list[tuple[Table, str, dict[str, Any]]]) -> None:
        """Name rows that are stated and are not there, and those that are there and nothing states."""
        for (name, key), stated in islice(self.stated.items(), MOST_FAULTS):
            table = TABLES[name]
            said = {column: value for column, value in stated.items() if column}
            moved = next((row for row in extra if row[0] is table and dict(row[2]) | said == dict(row[2])), None)
            if moved:
                extra.remove(moved)
                self._tell("row_changed", table, key, "id", self.number_of.get((name, key)))
            else:
                self._tell("row_deleted", table, key, _moved(table, key), self.number_of.get((name, key)))
        for table, key, _found in extra:
            self._tell("row_added", table, key, "", None)

    def _tell(self, how: Any, table: Table | None, key: str, column: str, number: int | None) -> None:
        if len(self.faults) < MOST_FAULTS:
            name = table.name if table else "speech_key"
            self.faults.append(Fault(how, self.session, number, table=name, row=key or self.session, column=column))


def _orphans(model: Any, session: str = "session_id") -> QuerySet[Any]:
    """Return the rows that name a session that is not there."""
    sessions = StreamingSession.objects.filter(pk=OuterRef(session))
    rows: QuerySet[Any] = model._base_manager.exclude(Exists(sessions))
    return rows


def _has_orphan(model: Any) -> bool:
    return _orphans(model).exists()


def _moved(table: Table, key: str) -> str:
    """Return the column by which a row left its session, if it is still there."""
    if table is CONVERSATION:
        return "id" if _orphans(Conversation, "pk").exists() else ""
    if table.is_single:
        return "session" if _has_orphan(table.model) else ""
    if not table.model._base_manager.filter(pk=key).exists():
        receipts = Erasure.objects.filter(pk=OuterRef("pk"))
        is_orphan = table is CARRIED and table.model._base_manager.exclude(Exists(receipts)).exists()
        return "erasure" if is_orphan else ""
    return table.session.split("__")[0].removesuffix("_id")


def _is_kept(wrapped: Any) -> bool:
    return not isinstance(wrapped, (bytes, memoryview)) or bool(bytes(wrapped))


def _opens(wrapped: Any, session: str) -> bool:
    try:
        return sealing.opens(blob(wrapped), UUID(session))
    except (TypeError, ValueError):
        return False


class _Stream:
    """Rows of a query in the order of their sessions, handed out session by session."""

    def __init__(self, rows: QuerySet[Any], batch: int) -> None:
        self._rows = rows.iterator(chunk_size=batch)
        self._next = next(self._rows, None)

    def of(self, pk: str) -> Iterator[Any]:
        """Yield this session's rows. What was not asked for before is skipped."""
        while self._next is not None and self._next[0] < pk:
            self._next = next(self._rows, None)
        while self._next is not None and self._next[0] == pk:
            yield self._next
            self._next = next(self._rows, None)

    def before(self, pk: str | None) -> Iterator[str]:
        """Yield the sessions whose rows come before this one's and were not asked for."""
        while self._next is not None and (pk is None or self._next[0] < pk):
            name = self._next[0]
            yield name
            while self._next is not None and self._next[0] == name:
                self._next = next(self._rows, None)


class _Streams:
    """All that is read beside the sessions, of one session or of all."""

    def __init__(self, bounds: Bounds, session: str | None = None) -> None:
        def stream(model: Any, order: tuple[str, ...], *columns: Any) -> _Stream:
            rows = model.objects.filter(session_id=session) if session else model.objects.all()
            ordered = rows.order_by("session_id", *order).values_list(AsText("session_id"), *columns)
            return _Stream(ordered, bounds.batch)

        self.events = stream(SessionEvent, ("number", "pk"), *EVENT)
        self.seals = stream(SessionSeal, ("number", "pk"), *SEAL)
        self.keys = stream(SpeechKey, (), "wrapped", IsoText("erased_at"))
        self.below = {table.name: _Stream(_below(table, session), bounds.batch) for table in BELOW}

    def before(self, pk: str | None) -> Iterator[str]:
        for name in self.events.before(pk):
            yield _name(name)


def _all(table: Table) -> QuerySet[Any]:
    """Return a table's rows, with what its derived columns are compared with."""
    if table is CONVERSATION:
        ended_at = Conversation.ended_last().annotate(at=IsoText("ended_at")).values("at")[:1]
        return Conversation.objects.annotate(sessions_ended_at=Subquery(ended_at))
    rows: QuerySet[Any] = table.model._base_manager.all()
    return rows


def rows_of(table: Table, session: UUID | str) -> QuerySet[Any]:
    """Return tuples of what is stored of the rows that belong to a session."""
    return _below(table, session)


def _below(table: Table, session: UUID | str | None) -> QuerySet[Any]:
    rows = _all(table).order_by(table.session, "pk")
    chosen = {table.session: session} if session else {f"{table.session.removesuffix('_id')}__isnull": False}
    return table.stored(rows.filter(**chosen))


SUMS = ("sessions", "time", "wasted", "estimated")
DAY = ("day", "account_id", "persona_id")
LOST, ADDED = "-", "+"
"""In place of a column: sums that are not there, or that no session has a part in."""
Day = tuple[str, int, int]
"""Of sums: the day, the account and the persona."""


def _day_faults(count: Count) -> Iterator[Fault]:
    """Compare the sums by day with the sessions' totals, which are stated one by one."""
    lost: list[Day] = []
    added: list[Day] = []
    for day, its_column in _misfits_by_day(count):
        key = dict(zip(DAY, day, strict=True))
        with transaction.atomic():
            # Who adds a session to the sums holds their row.
            still = [(day, its_column)]
            if _is_day(day):
                _of_day(DayTotal.objects.select_for_update(), key).order_by().values_list("pk").first()
                still = list(_misfits_by_day(Count(), key))
        for _day, column in still:
            if column in (LOST, ADDED) and len(lost) + len(added) < MOST_FAULTS:
                (lost if column == LOST else added).append(day)
            else:
                yield Fault("row_changed", table="day_total", row=" ".join(map(str, day)), column=column)
    for day in lost:
        moved = [name for other in added if len(names := _different(day, other)) == 1 for name in names]
        how: How = "row_changed" if moved else "row_deleted"
        yield Fault(how, table="day_total", row=" ".join(map(str, day)), column=next(iter(moved), ""))
    if not lost:
        for day in added:
            yield Fault("row_added", table="day_total", row=" ".join(map(str, day)))


def _different(day: Day, other: Day) -> list[str]:
    return [name.removesuffix("_id") for name, one, its in zip(DAY, day, other, strict=True) if str(one) != str(its)]


def _misfits_by_day(count: Count, key: Mapping[str, Any] | None = None) -> Iterator[tuple[Day, str]]:
    """Yield the first column of each day's sums that is not what its sessions come to."""
    kept = _summed(_of_day(DayTotal.objects.all(), key), {name: F(name) for name in SUMS})
    totals = {"sessions": Counted("pk"), **{name: Sum(name) for name in SUMS[1:]}}
    found = _summed(_of_day(SessionTotal.objects.all(), key), totals)
    kept_row, found_row = next(kept, None), next(found, None)
    while kept_row or found_row:
        if found_row is None or (kept_row and _placed(kept_row) < _placed(found_row)):
            count.rows["day_total"] += 1
            assert kept_row
            if any(value not in (0, "0", "0.0000") for value in kept_row[1]):
                yield kept_row[0], ADDED
            kept_row = next(kept, None)
        elif kept_row is None or _placed(found_row) < _placed(kept_row):
            yield found_row[0], LOST
            found_row = next(found, None)
        else:
            count.rows["day_total"] += 1
            for name, one, other in zip(SUMS, kept_row[1], found_row[1], strict=True):
                if one != other:
                    yield kept_row[0], name
                    break
            kept_row, found_row = next(kept, None), next(found, None)


def _is_day(day: Day) -> bool:
    """Whether these are a day, account and persona; else nobody can be adding to the sums."""
    return day[0].isascii() and all(isinstance(number, int) for number in day[1:])


def _of_day(rows: QuerySet[Any], key: Mapping[str, Any] | None) -> QuerySet[Any]:
    """Choose the rows of a day, account and persona, whatever these columns hold."""
    if key is None:
        return rows
    named: QuerySet[Any] = rows.alias(**{f"told_{name}": AsText(name) for name in DAY})
    return named.filter(**{f"told_{name}": str(value) for name, value in key.items()})


def _placed(row: tuple[Day, tuple[Any, ...]]) -> list[tuple[int, Any]]:
    return list(map(sort_key, row[0]))


def _summed(rows: QuerySet[Any], sums: Mapping[str, Any]) -> Iterator[tuple[Day, tuple[Any, ...]]]:
    count, time, wasted, estimated = (sums[name] for name in SUMS)
    told = (count, MicrosecondsText(time), MicrosecondsText(wasted), DecimalText(estimated, places=4))
    rows = rows.values(*DAY).annotate(**{f"its_{name}": each for name, each in zip(SUMS, told, strict=True)})
    columns: tuple[Any, ...] = (AsText("day"), "account_id", "persona_id", *(f"its_{name}" for name in SUMS))
    for row in rows.order_by(*DAY).values_list(*columns).iterator(chunk_size=BATCH):
        yield row[:3], row[3:]
