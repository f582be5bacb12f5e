"""Verification of the record against its hashes, signatures and statements.

It covers events, heads, seals, and every row that is shown to auditors.

Everything is streamed once, ordered by session, so that memory does not grow with the length of a session. A session
with a suspected fault is verified again with its row locked: concurrent changes are not faults, and real faults are
reported with their row and column.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from itertools import count as counting
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count as Counted
from django.db.models import Exists, F, OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone

from heygen_portal.trail import db_triggers, statements
from heygen_portal.trail.compiled_query import CompiledQuery
from heygen_portal.trail.raw_values import (
    AsText,
    DecimalText,
    IsoText,
    MicrosecondsText,
    blob,
    invalid_utf8_allowed,
    sort_key,
)
from heygen_portal.trail.statements import ROWS, Table
from sessions.integrity import activity, audit_statements, diagnosis, role_permissions, word_faults, worker_columns
from sessions.integrity.diagnosis import ERASED, TEXT_PROVING_KINDS, Chain, EndMark, Event, data_of, proofs
from sessions.integrity.fault import Fault, FaultKind, compared
from sessions.integrity.scope import BATCH_ROWS, DEFAULT_LIMITS, MAX_FAULTS, CheckCounts, MemoryLimits, is_in_share
from sessions.lifecycle import coverage
from sessions.lifecycle.coverage import (
    ANSWER,
    CONVERSATION,
    ERASURE,
    LINE,
    PROVIDER_ERASURE,
    SESSION,
    SESSION_TABLES,
    TABLES,
    TASK,
)
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import digest_of
from sessions.models import (
    Answer,
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
    speech_encryption,
)

logger = logging.getLogger(__name__)

# A text that is being sent must have its event by then.
SENDING_TIMEOUT = timedelta(minutes=2)
# The same for an answer by the organisation's own model.
ANSWERING_TIMEOUT = timedelta(minutes=6)
# How far another process's clock may be ahead of this one's.
CLOCK_TOLERANCE = timedelta(seconds=5)
UNKNOWN_CHAIN_FAULT: diagnosis.ChainFault = ("changed", None, "event", "")
# The event that states the rows of a record of an earlier format.
UPGRADED = EventKind.RECORD_UPGRADED

EVENT_COLUMNS = ("number", "source", "kind", AsText("data"), IsoText("at"), "prints", "previous_hash", "hash")
END_MARK_COLUMNS = ("number", "hash", "signature")
HEAD_COLUMNS = tuple(f"head__{name}" for name in END_MARK_COLUMNS)
SEAL_COLUMNS = (*END_MARK_COLUMNS, IsoText("at"))


def faults(counts: CheckCounts | None = None, limits: MemoryLimits = DEFAULT_LIMITS) -> Iterator[Fault]:
    """Verify everything; yield the first faults of the audit log and of each session."""
    counts = counts or CheckCounts()
    if db_triggers.missing(connection):
        yield Fault("unguarded")
    with invalid_utf8_allowed(connection):
        yield from compared(partial(audit_statements.faults, counts, limits), "audit_entry")
        yield from compared(partial(role_permissions.faults, counts), "role_permission")
        yield from compared(audit_statements.invitation_faults, audit_statements.INVITATION)
        yield from compared(partial(_session_faults, counts, limits), "session")
        yield from compared(_conversations_without_session, CONVERSATION.name)
        yield from compared(worker_columns.faults, "session")
        yield from compared(partial(_day_faults, counts), "day_total")
        yield from compared(partial(word_faults.faults, counts, limits), "word")


def _session_faults(counts: CheckCounts, limits: MemoryLimits) -> Iterator[Fault]:
    streams = _Streams(limits)
    for row in SESSION_ROWS.rows(None, limits.batch_rows):
        for orphan in streams.unread_before(row[0]):
            yield from faults_of(orphan, limits)
        counts.sessions += 1
        if not _is_clean(row, streams, counts, limits):
            yield from faults_of(_hashed_id(row[0]), limits)
    for orphan in streams.unread_before(None):
        yield from faults_of(orphan, limits)


def _is_clean(row: tuple[Any, ...], streams: _Streams, counts: CheckCounts, limits: MemoryLimits) -> bool:
    try:
        return SessionPass(row, limits).run(streams, counts)
    except Exception:
        logger.exception("Could not compare session %s", row[0])
        for _event in streams.events.of(row[0]):
            pass  # else the rest of its events would count as those of a missing session
        return False  # it is verified once more, with its row locked


def _conversations_without_session() -> Iterator[Fault]:
    """Yield a fault for each conversation without a session to state it."""
    for pk in _orphans(Conversation, "pk").order_by("pk").values_list(AsText("pk"), flat=True)[:MAX_FAULTS]:
        yield Fault("row_added", table=CONVERSATION.name, row=pk)


def first_fault_of(session_id: UUID | str) -> Fault | None:
    """Verify one session with its row locked; return the first fault, if any."""
    return next(iter(faults_of(session_id)), None)


def faults_of(session_id: UUID | str, limits: MemoryLimits = DEFAULT_LIMITS) -> list[Fault]:
    """Verify one session with its row locked; return its faults, up to `MAX_FAULTS`."""
    return list(compared(partial(_faults_of, str(session_id), limits), "session", str(session_id)))


def _faults_of(session: Any, limits: MemoryLimits) -> list[Fault]:
    if not _is_id(session):
        return _fault_of_bad_id(session)
    with invalid_utf8_allowed(connection), transaction.atomic():
        rows = StreamingSession.objects.filter(pk=session)
        rows.select_for_update(of=("self",)).order_by().values_list("pk").first()
        row = next(SESSION_ROWS.rows(session, BATCH_ROWS), None)
        if row is None:
            has_rest = SessionEvent.objects.filter(session_id=session).exists()
            rows = StreamingSession.objects.exclude(Exists(SessionEvent.objects.filter(session_id=OuterRef("pk"))))
            column = "id" if has_rest and rows.exists() else ""
            return [Fault("session_deleted", session, 1, "session", session, column)] if has_rest else []
        return list(islice(_faults_of_row(row, limits), MAX_FAULTS))


def _is_id(session: str) -> bool:
    try:
        return bool(UUID(session))
    except ValueError:
        return False


def _fault_of_bad_id(session: str) -> list[Fault]:
    """Return the fault of an invalid session ID in a session or an event."""
    with invalid_utf8_allowed(connection):
        every = StreamingSession.objects.order_by().values_list(AsText("pk"), flat=True)
        # Compared here, because the ID may not be valid text, which no query accepts.
        is_session = session in every.iterator(chunk_size=BATCH_ROWS)
    return [
        Fault(
            "row_changed",
            session,
            None,
            "session" if is_session else "event",
            session,
            "id" if is_session else "session",
        )
    ]


def _faults_of_row(row: tuple[Any, ...], limits: MemoryLimits) -> Iterator[Fault]:
    """Verify a session in as many passes as its memory limits require."""
    for shares in (1 << power for power in counting()):
        first = SessionPass(row, limits, 0, shares)
        first.run(_Streams(limits, first.session), CheckCounts())
        if first.is_too_large:
            continue
        if not first.is_chain_intact:
            yield from _chain_faults(first, limits)
            return
        yield from first.faults
        for share in range(1, shares):
            found = SessionPass(row, limits, share, shares)
            found.run(_Streams(limits, found.session), CheckCounts())
            yield from found.faults
        return


def _chain_faults(found: SessionPass, limits: MemoryLimits) -> Iterator[Fault]:
    session: Any = found.session
    events = SessionEvent.objects.filter(session_id=session).order_by("number", "pk")
    seals = SessionSeal.objects.filter(session_id=session).order_by("number", "pk")

    def find(number: int) -> Event | None:
        row = events.filter(number=number).values_list(*EVENT_COLUMNS).first()
        return _event(found.session, row) if row else None

    chain = Chain(
        found.session,
        lambda: (
            _event(found.session, row)
            for row in events.values_list(*EVENT_COLUMNS).iterator(chunk_size=limits.batch_rows)
        ),
        find,
        lambda: (EndMark._make(row) for row in seals.values_list(*SEAL_COLUMNS).iterator(chunk_size=limits.batch_rows)),
        found.head,
        found.is_over,
        events.count(),
    )
    kind, number, table, column = next(diagnosis.chain_faults(chain), UNKNOWN_CHAIN_FAULT)
    if table == "event" and events.filter(number__lt=1).exists():
        column = "number"
    elif table == "event" and kind == "deleted" and number:
        before = find(number - 1)
        moved = (
            SessionEvent.objects.order_by().filter(previous_hash=before.hash) if before else SessionEvent.objects.none()
        )
        if moved_to := moved.values_list(AsText("session_id"), flat=True).first():
            column = "number" if _hashed_id(moved_to) == found.session else "session"
    elif (kind == "headless" and _has_orphan(SessionHead)) or (kind == "unsealed" and _has_orphan(SessionSeal)):
        column = "session"
    yield Fault(kind, found.session, number, table=table, row=str(number or ""), column=column)


def _event(session: str, row: tuple[Any, ...]) -> Event:
    number, source, kind, data, *rest = row
    return Event(session, number, source, kind, data_of(data), *rest)


def _sessions(session: UUID | None) -> QuerySet[Any]:
    rows = StreamingSession.objects.filter(pk=session) if session else StreamingSession.objects.all()
    return SESSION.stored(rows.order_by("pk"), *HEAD_COLUMNS)


SESSION_ROWS = CompiledQuery(_sessions)


def _hashed_id(pk: str) -> str:
    """Return a session's ID in the form in which its events were hashed."""
    return str(UUID(pk)) if len(pk) != 36 and _is_id(pk) else pk


class SessionPass:
    """One pass over a session: its chain, its statements and its rows.

    With several shares, only the rows of one share are compared.
    """

    def __init__(self, row: tuple[Any, ...], limits: MemoryLimits, share: int = 0, shares: int = 1) -> None:
        self.limits = limits
        self.pk = row[0]
        self.session = _hashed_id(self.pk)
        *columns, number, event_hash, signature = row
        self.columns = SESSION.read(tuple(columns))
        self.is_over = self.columns["status"] == Status.ENDED
        record_format = self.columns["record_format"]
        self.format = record_format if isinstance(record_format, int) else coverage.FORMAT
        self.is_older = self.format < coverage.FORMAT_WITH_ALL_ROWS
        self.head = EndMark(number, event_hash, signature) if number is not None else None
        self.seal: EndMark | None = None
        self.share, self.shares = share, shares
        self.stated: dict[tuple[str, str], dict[str, Any]] = {}
        self.event_number_of: dict[tuple[str, str], int] = {}
        self.proofs: dict[str, int] = {}
        self.has_all_proofs = True
        self.erasures: list[tuple[int, diagnosis.Receipt]] = []
        self.erased_at = ""  # as the record states it; empty in records that do not
        self.active_holds = 0
        self.last_activity = activity.LastActivity()
        self.is_too_large = False
        self.is_chain_intact = False
        self.faults: list[Fault] = []

    def run(self, streams: _Streams, counts: CheckCounts) -> bool:
        """Read everything of the session; return whether it has no faults."""
        length, last_hash, is_intact = self._read_chain(streams.events.of(self.pk), streams.seals.of(self.pk), counts)
        self.is_chain_intact = is_intact and length > 0 and self._ends_as_marked(length, last_hash)
        if self.is_chain_intact and not self.is_too_large:
            self._compare(streams, counts)
        counts.older += self.format < coverage.FORMAT
        counts.rows["session"] += 1
        counts.rows["head"] += self.head is not None
        return self.is_chain_intact and not self.faults and not self.is_too_large

    def _read_chain(self, events: Iterable[Any], seals: Iterator[Any], counts: CheckCounts) -> tuple[int, str, bool]:
        session, expected, last_hash, is_intact = self.session, 0, "", True
        seal = next(seals, None)
        for _pk, number, source, kind, text, at, prints, before, event_hash in events:
            expected += 1
            data = data_of(text)
            try:
                is_same = event_hash == digest_of(before, session, number, source, kind, data, at, prints)
            except (TypeError, ValueError, RecursionError):
                is_same = False
            if number != expected or before != last_hash or not is_same:
                row = Event(session, number, source, kind, data, at, prints, before, event_hash)
                is_intact = is_intact and number == expected and before == last_hash and row.matches_hash()
            last_hash = event_hash
            while seal is not None and seal[1] == number:
                counts.rows["seal"] += 1
                self.seal = EndMark._make(seal[1:])
                is_intact = (
                    is_intact and seal[2] == event_hash and diagnosis.is_signed_here(SessionSeal, session, self.seal)
                )
                seal = next(seals, None)
            is_intact = is_intact and isinstance(data, dict)
            if is_intact and (ROWS in data or kind in TEXT_PROVING_KINDS or kind in diagnosis.RETENTION_KINDS):
                is_intact = not diagnosis.is_sealed(data) or (self.seal is not None and self.seal.number == number)
                self._read_statements(expected, kind, data, at)
            if kind in activity.KINDS:
                self.last_activity.note(at, activity.KINDS[kind])
        counts.events += expected
        counts.rows["event"] += expected
        return expected, last_hash, is_intact and seal is None

    def _ends_as_marked(self, length: int, last_hash: str) -> bool:
        """Whether the record ends where its head says.

        Once the session has ended, its last seal must say the same.
        """
        head, seal = self.head, self.seal
        if head is None or (head.number, head.hash) != (length, last_hash):
            return False
        if self.is_over and (seal is None or seal.number != length):
            return False
        return diagnosis.is_signed_here(SessionHead, self.session, head)

    def _read_statements(self, number: int, kind: str, data: Any, at: str) -> None:
        """Store the statements and proofs of an event."""
        proved = proofs(kind, data)
        if proved is None:
            self.has_all_proofs = False
        for proof in proved or ():
            if self._is_in_share("", proof):
                self.proofs[proof] = number
        if kind in diagnosis.RETENTION_KINDS:
            self._note_retention(number, kind, data)
        for table, key, values in statements.stated_in(data):
            if table == ERASURE.name:  # the key was emptied in the same transaction
                self.erased_at = str(values.get("at", self.erased_at))
            if table == coverage.ACTIVITY:
                self.last_activity.is_complete = True
            if table in TABLES and self._is_in_share(table, key):
                since = {"": at} if kind == UPGRADED else {}  # when the upgrade stated it
                self.stated.setdefault((table, key), {}).update({**values, **since})
                self.event_number_of[table, key] = number
        if self.share == 0 and len(self.stated) + len(self.proofs) > self.limits.stated_rows:
            self.is_too_large = True
            self.stated, self.proofs, self.event_number_of = {}, {}, {}

    def _note_retention(self, number: int, kind: str, data: Any) -> None:
        if kind != ERASED:
            self.active_holds += 1 if kind == diagnosis.HELD else -1
            return
        if self.active_holds > 0 and self.share == 0:
            self._add_fault("held_erased", ERASURE, "", "", number)
        self.erasures.append((number, diagnosis.receipt_of(data)))

    def _is_in_share(self, table: str, key: str) -> bool:
        if self.shares == 1 or table == "session":
            return self.share == 0
        return is_in_share(table, key, self.share, self.shares)

    def _compare(self, streams: _Streams, counts: CheckCounts) -> None:
        unmatched = dict(self.proofs)
        has_unproved_text = False
        sending: set[Any] = set()
        unstated_rows: list[tuple[Table, str, dict[str, Any]]] = []
        receipts: list[diagnosis.Receipt] = []
        has_text = False
        if self.share == 0:
            self._compare_row(SESSION, "", self.columns, counts)
        for table in SESSION_TABLES:
            for row in streams.below[table.name].of(self.pk):
                counts.rows[table.name] += 1
                key, found = table.key(row[1]), table.read(row)
                is_stated = (table.name, key) in self.stated
                if table is ERASURE:
                    receipts.append((found["cause"], found["by"], found["lines"], found["hash"]))
                elif table in (TASK, LINE):
                    has_text = True
                    if table is TASK:
                        self.last_activity.note(found["created_at"])
                    is_settled = is_stated or not self._is_being_sent(table, found, sending)
                    if self.is_older and self._is_in_share("", found["sealed"]):
                        unmatched.pop(found["sealed"], None)
                        is_proved = found["sealed"] in self.proofs or is_stated or not is_settled
                        has_unproved_text = has_unproved_text or not is_proved
                    if not is_settled:
                        continue
                elif table is ANSWER and not is_stated and self._is_being_answered(found):
                    continue
                if not self._is_in_share(table.name, key):
                    continue
                for name in table.wrong_derived_columns(row):
                    self._add_fault("row_changed", table, key, name, None)
                if is_stated:
                    self._compare_row(table, key, found, counts)
                elif self.format < table.since:
                    counts.unstated.update(f"{table.name}.{name}" for name in table.fields)
                elif len(unstated_rows) < MAX_FAULTS:
                    unstated_rows.append((table, key, found))
        self._compare_activity()
        self._compare_missing(unstated_rows)
        self._compare_proofs(unmatched, has_unproved_text=has_unproved_text)
        if self.share == 0:
            self._compare_receipts(receipts)
            self._compare_keys(streams.keys.of(self.pk), counts, has_text=has_text)

    def _compare_proofs(self, unmatched: Mapping[str, int], *, has_unproved_text: bool) -> None:
        """Compare texts with their fingerprints, in records without whole rows."""
        if not self.is_older:
            return
        if unmatched:
            self._add_fault("text_changed", coverage.LINE, "", "sealed", next(iter(unmatched.values())))
        elif self.has_all_proofs and has_unproved_text:
            self._add_fault("text_inserted", coverage.LINE, "", "", None)

    def _compare_activity(self) -> None:
        """Report a last activity that is later than the session's events and texts explain."""
        known = self.last_activity
        known.note(self.columns["created_at"])
        known.note(self.columns["live_at"])
        if self.share == 0 and known.is_complete and known.precedes(self.columns["active_at"]):
            self._add_fault("row_changed", SESSION, "", "active_at", None)

    def _compare_receipts(self, receipts: list[diagnosis.Receipt]) -> None:
        recorded = [receipt for _number, receipt in self.erasures]
        if recorded != receipts and not any(fault.table == "erasure" for fault in self.faults):
            number = next((number for number, receipt in self.erasures if receipt not in receipts), None)
            self._add_fault("receipt", ERASURE, "", "", number)

    def _compare_row(self, table: Table, key: str, found: Mapping[str, Any], counts: CheckCounts) -> None:
        stated = self.stated.pop((table.name, key), {})
        if table is SESSION and not stated:
            if not self.is_older:
                self._add_fault("unstated", table, key, "record_format", None)
            for name in table.fields:
                counts.unstated[f"{table.name}.{name}"] += 1
            return
        late = frozenset() if self.is_over else table.late
        for name in table.unreadable_columns(found) if table.late else ():
            if name not in stated or not self.is_over:
                self._add_fault("row_changed", table, key, name, None)
        for name in statements.differing(stated, found):
            if name not in late:
                self._add_fault("row_changed", table, key, name, self.event_number_of.get((table.name, key)))
        counts.note(table, stated, skipped=late)

    def _is_being_sent(self, table: Table, found: Mapping[str, Any], sending: set[Any]) -> bool:
        """Whether this is a text that is being sent, or its line.

        Their event follows the provider's answer.
        """
        at = str(found.get("created_at"))
        is_young = self._can_be_sending and self._sent_after < at < (timezone.now() + CLOCK_TOLERANCE).isoformat()
        has_room = len(sending) < self.limits.stated_rows
        if table is TASK and found["status"] == SessionTask.Status.SENDING and is_young and has_room:
            sending.add(found["created_at"])
            return True
        is_typed = table is LINE and (found["by"], found["source"]) == ("text", "portal")
        return is_typed and found["at"] in sending

    def _is_being_answered(self, found: Mapping[str, Any]) -> bool:
        """Whether this answer is still being given: its event follows its end."""
        began_after = (timezone.now() - ANSWERING_TIMEOUT).isoformat()
        return found["state"] == Answer.State.ANSWERING and str(found["created_at"]) > began_after

    @property
    def _sent_after(self) -> str:
        """The earliest time of a text that may still be unanswered, in ISO 8601."""
        settled = (timezone.now() - SENDING_TIMEOUT).isoformat()
        return max(settled, str(self.columns["created_at"]))

    @property
    def _can_be_sending(self) -> bool:
        """Whether the session is open or ended recently.

        An answer of the provider may arrive after the end.
        """
        return not self.is_over or str(self.columns["ended_at"]) > (timezone.now() - SENDING_TIMEOUT).isoformat()

    def _compare_keys(self, keys: Iterable[Any], counts: CheckCounts, *, has_text: bool) -> None:
        """Compare the session's speech key with the erasures in its record."""
        has_key = False
        for _session, wrapped, erased_at in keys:
            has_key = True
            counts.rows["speech_key"] += 1
            is_erased = bool(self.erasures)
            if (erased_at is not None) != is_erased:
                self._add_fault("key_destroyed", None, "", "erased_at", None)
            elif not is_erased and not _can_unwrap(wrapped, self.session):
                self._add_fault("key_destroyed", None, "", "wrapped", None)
            elif is_erased and _is_present(wrapped):
                self._add_fault("key_kept", None, "", "wrapped", None)
            elif is_erased and self.erased_at and erased_at != self.erased_at:
                self._add_fault("row_changed", None, "", "erased_at", self.erasures[-1][0])
        if has_text and not has_key:
            self._add_fault("key_destroyed", None, "", "session" if _has_orphan(SpeechKey) else "", None)

    def _compare_missing(self, unstated_rows: list[tuple[Table, str, dict[str, Any]]]) -> None:
        """Report rows that are stated but missing, and `unstated_rows`."""
        for (name, key), stated in islice(self.stated.items(), MAX_FAULTS):
            table = TABLES[name]
            values = {column: value for column, value in stated.items() if column}
            moved = next(
                (row for row in unstated_rows if row[0] is table and dict(row[2]) | values == dict(row[2])), None
            )
            if moved:
                unstated_rows.remove(moved)
                self._add_fault("row_changed", table, key, "id", self.event_number_of.get((name, key)))
            else:
                self._add_fault(
                    "row_deleted", table, key, _moved_column(table, key), self.event_number_of.get((name, key))
                )
        for table, key, _found in unstated_rows:
            self._add_fault("row_added", table, key, "", None)

    def _add_fault(self, kind: Any, table: Table | None, key: str, column: str, number: int | None) -> None:
        if len(self.faults) < MAX_FAULTS:
            name = table.name if table else "speech_key"
            self.faults.append(Fault(kind, self.session, number, table=name, row=key or self.session, column=column))


def _orphans(model: Any, session: str = "session_id") -> QuerySet[Any]:
    """Return the rows that refer to a missing session."""
    sessions = StreamingSession.objects.filter(pk=OuterRef(session))
    rows: QuerySet[Any] = model._base_manager.exclude(Exists(sessions))
    return rows


def _has_orphan(model: Any) -> bool:
    return _orphans(model).exists()


def _moved_column(table: Table, key: str) -> str:
    """Return the column by which a row left its session, or "" if it is gone."""
    if table is CONVERSATION:
        return "id" if _orphans(Conversation, "pk").exists() else ""
    if table.is_single:
        return "session" if _has_orphan(table.model) else ""
    if not table.has_row(key):
        receipts = Erasure.objects.filter(pk=OuterRef("pk"))
        is_orphan = table is PROVIDER_ERASURE and table.model._base_manager.exclude(Exists(receipts)).exists()
        return "erasure" if is_orphan else ""
    return table.session.split("__")[0].removesuffix("_id")


def _is_present(wrapped: Any) -> bool:
    return not isinstance(wrapped, (bytes, memoryview)) or bool(bytes(wrapped))


def _can_unwrap(wrapped: Any, session: str) -> bool:
    try:
        return speech_encryption.can_unwrap(blob(wrapped), UUID(session))
    except (TypeError, ValueError):
        return False


class _Stream:
    """Rows of a query ordered by session, handed out session by session."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, pk: str) -> Iterator[Any]:
        """Yield this session's rows, skipping rows of earlier sessions."""
        while self._next is not None and self._next[0] < pk:
            self._next = next(self._rows, None)
        while self._next is not None and self._next[0] == pk:
            yield self._next
            self._next = next(self._rows, None)

    def unread_before(self, pk: str | None) -> Iterator[str]:
        """Yield the sessions before this one whose rows were not read."""
        while self._next is not None and (pk is None or self._next[0] < pk):
            name = self._next[0]
            yield name
            while self._next is not None and self._next[0] == name:
                self._next = next(self._rows, None)


class _Streams:
    """The rows that belong to one session or to all of them, by table."""

    def __init__(self, limits: MemoryLimits, session: str | None = None) -> None:
        def stream(query: CompiledQuery) -> _Stream:
            return _Stream(query.rows(session, limits.batch_rows))

        self.events, self.seals, self.keys = stream(EVENT_ROWS), stream(SEAL_ROWS), stream(KEY_ROWS)
        self.below = {name: stream(query) for name, query in ROWS_BELOW.items()}

    def unread_before(self, pk: str | None) -> Iterator[str]:
        for name in self.events.unread_before(pk):
            yield _hashed_id(name)


def _all_rows(table: Table) -> QuerySet[Any]:
    """Return a table's rows, annotated with the expected values of derived columns."""
    if table is CONVERSATION:
        ended_at = Conversation.ended_last().annotate(at=IsoText("ended_at")).values("at")[:1]
        return Conversation.objects.annotate(sessions_ended_at=Subquery(ended_at))
    rows: QuerySet[Any] = table.model._base_manager.all()
    return rows


def rows_of(table: Table, session: UUID | str | None) -> QuerySet[Any]:
    """Return the rows of one session, or of all, as `Table.stored` tuples."""
    rows = _all_rows(table).order_by(table.session, "pk")
    chosen = {table.session: session} if session else {f"{table.session.removesuffix('_id')}__isnull": False}
    return table.stored(rows.filter(**chosen))


def _rows_by_session(model: Any, order: tuple[str, ...], columns: tuple[Any, ...], session: Any) -> QuerySet[Any]:
    rows = model.objects.filter(session_id=session) if session else model.objects.all()
    ordered: QuerySet[Any] = rows.order_by("session_id", *order).values_list(AsText("session_id"), *columns)
    return ordered


EVENT_ROWS = CompiledQuery(partial(_rows_by_session, SessionEvent, ("number", "pk"), EVENT_COLUMNS))
SEAL_ROWS = CompiledQuery(partial(_rows_by_session, SessionSeal, ("number", "pk"), SEAL_COLUMNS))
KEY_ROWS = CompiledQuery(partial(_rows_by_session, SpeechKey, (), ("wrapped", IsoText("erased_at"))))
ROWS_BELOW = {table.name: CompiledQuery(partial(rows_of, table)) for table in SESSION_TABLES}


SUM_COLUMNS = ("sessions", "time", "wasted", "estimated", "model_tokens", "model_credits")
DAY_KEY = ("day", "account_id", "persona_id")
# Used in place of a column: the sums of a day are missing, or no session contributes to them.
MISSING_SUMS, SURPLUS_SUMS = "-", "+"
# Day, account and persona of daily sums.
DayKey = tuple[str, int, int]


def _day_faults(counts: CheckCounts) -> Iterator[Fault]:
    """Compare the daily sums with the totals of sessions, which their records state."""
    lost: list[DayKey] = []
    added: list[DayKey] = []
    for day, wrong in _wrong_day_totals(counts):
        key = dict(zip(DAY_KEY, day, strict=True))
        with transaction.atomic():
            # A worker that adds a session to the sums locks their row.
            still = [(day, wrong)]
            if _is_day(day):
                _of_day(DayTotal.objects.select_for_update(), key).order_by().values_list("pk").first()
                still = list(_wrong_day_totals(CheckCounts(), key))
        for _day, column in still:
            if column not in (MISSING_SUMS, SURPLUS_SUMS):
                yield Fault("row_changed", table="day_total", row=" ".join(map(str, day)), column=column)
            elif len(lost) + len(added) < MAX_FAULTS:
                (lost if column == MISSING_SUMS else added).append(day)
    for day in lost:
        moved = next((other for other in added if len(_different_columns(day, other)) == 1), None)
        if moved:
            added.remove(moved)
        kind: FaultKind = "row_changed" if moved else "row_deleted"
        (column,) = _different_columns(day, moved) if moved else ("",)
        yield Fault(kind, table="day_total", row=" ".join(map(str, day)), column=column)
    for day in added:
        yield Fault("row_added", table="day_total", row=" ".join(map(str, day)))


def _different_columns(day: DayKey, other: DayKey) -> list[str]:
    return [
        name.removesuffix("_id") for name, one, its in zip(DAY_KEY, day, other, strict=True) if str(one) != str(its)
    ]


def _wrong_day_totals(counts: CheckCounts, key: Mapping[str, Any] | None = None) -> Iterator[tuple[DayKey, str]]:
    """Yield days whose sums differ from their totals, with the first such column."""
    kept = _sums_by_day(_of_day(DayTotal.objects.all(), key), {name: F(name) for name in SUM_COLUMNS})
    totals = {"sessions": Counted("pk"), **{name: Sum(name) for name in SUM_COLUMNS[1:]}}
    found = _sums_by_day(_of_day(SessionTotal.objects.all(), key), totals)
    kept_row, found_row = next(kept, None), next(found, None)
    while kept_row or found_row:
        if found_row is None or (kept_row and _sort_key(kept_row) < _sort_key(found_row)):
            counts.rows["day_total"] += 1
            assert kept_row
            if any(value not in (0, "0", "0.0000") for value in kept_row[1]):
                yield kept_row[0], SURPLUS_SUMS
            kept_row = next(kept, None)
        elif kept_row is None or _sort_key(found_row) < _sort_key(kept_row):
            yield found_row[0], MISSING_SUMS
            found_row = next(found, None)
        else:
            counts.rows["day_total"] += 1
            for name, one, other in zip(SUM_COLUMNS, kept_row[1], found_row[1], strict=True):
                if one != other:
                    yield kept_row[0], name
                    break
            kept_row, found_row = next(kept, None), next(found, None)


def _is_day(day: DayKey) -> bool:
    """Whether the key is valid. No worker adds to sums with an invalid key."""
    return day[0].isascii() and all(isinstance(number, int) for number in day[1:])


def _of_day(rows: QuerySet[Any], key: Mapping[str, Any] | None) -> QuerySet[Any]:
    """Filter by day, account and persona, even if these columns hold invalid values."""
    if key is None:
        return rows
    named: QuerySet[Any] = rows.alias(**{f"text_of_{name}": AsText(name) for name in DAY_KEY})
    return named.filter(**{f"text_of_{name}": str(value) for name, value in key.items()})


def _sort_key(row: tuple[DayKey, tuple[Any, ...]]) -> list[tuple[int, Any]]:
    return list(map(sort_key, row[0]))


def _sums_by_day(rows: QuerySet[Any], sums: Mapping[str, Any]) -> Iterator[tuple[DayKey, tuple[Any, ...]]]:
    count, time, wasted, estimated, tokens, model_credits = (sums[name] for name in SUM_COLUMNS)
    times = MicrosecondsText(time), MicrosecondsText(wasted)
    columns = (count, *times, DecimalText(estimated, places=4), tokens, DecimalText(model_credits, places=4))
    rows = rows.values(*DAY_KEY).annotate(
        **{f"its_{name}": each for name, each in zip(SUM_COLUMNS, columns, strict=True)}
    )
    chosen: tuple[Any, ...] = (AsText("day"), "account_id", "persona_id", *(f"its_{name}" for name in SUM_COLUMNS))
    for row in rows.order_by(*DAY_KEY).values_list(*chosen).iterator(chunk_size=BATCH_ROWS):
        yield row[:3], row[3:]
