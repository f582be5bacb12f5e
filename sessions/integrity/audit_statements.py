"""Verification of rows that belong to no session.

Audit entries state the columns of list exports and integrity checks.

The data of an entry holds `rows`, as that of an event does. The latest statement about a column counts, and
verification compares it with the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import count as counting
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from heygen_portal.models import Invitation
from heygen_portal.people.invitations import joining
from heygen_portal.trail import audit_log, statements
from heygen_portal.trail.compiled_query import CompiledQuery
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.raw_values import AsText
from heygen_portal.trail.statements import ROWS, Table
from sessions.integrity.fault import Fault, compared
from sessions.integrity.scope import BATCH_ROWS, MAX_FAULTS, CheckCounts, MemoryLimits, is_in_share
from sessions.lifecycle.coverage import AUDIT_FORMAT, AUDITED, AUDITED_SINCE, EXPORT

Kind = AuditEntry.Kind
INVITATION = "invitation"  # the name of their table in faults
# Rows stated by one audit entry of an upgrade.
ROWS_PER_ENTRY = 200


def faults(counts: CheckCounts, limits: MemoryLimits) -> Iterator[Fault]:
    """Verify the audit log, and compare the rows that it states."""
    with transaction.atomic():
        # A change of such a row appends an audit entry in the same transaction, and so waits for this one.
        found = list(_faults(counts, limits))
    yield from found


def _faults(counts: CheckCounts, limits: MemoryLimits) -> Iterator[Fault]:
    for shares in (1 << power for power in counting()):
        first = _AuditPass(0, shares, limits)
        entries, chain_fault = audit_log.check(first.read_entry)
        if first.is_too_large:
            continue
        counts.entries, counts.rows["audit_entry"] = entries, entries
        changed = dict(first.changed)
        if chain_fault:
            kind, number, column = chain_fault
            if kind != "changed":  # other numbers, after entries were deleted, inserted or swapped, are no changes
                changed = {number: column for number, column in changed.items() if column}
            table = "audit_head" if kind in ("headless", "head_forged") else "audit_entry"
            changed.pop(number, None)
            yield Fault(kind, number=number, table=table, row=str(number), column=column)
        for number, column in changed.items():
            yield Fault("changed", number=number, table="audit_entry", row=str(number), column=column)
        yield from first.compare(counts)
        for share in range(1, shares):
            following = _AuditPass(share, shares, limits)
            audit_log.check(following.read_entry)
            yield from following.compare(counts)
        return


class _AuditPass:
    """One pass over the audit log, for one share of the rows.

    It collects the statements about these rows and compares them.
    """

    def __init__(self, share: int, shares: int, limits: MemoryLimits) -> None:
        self.share, self.shares, self.limits = share, shares, limits
        self.stated: dict[tuple[str, str], dict[str, Any]] = {}
        self.entry_number_of: dict[tuple[str, str], int] = {}
        self.format = 0  # of the audit log: which tables it states every row of
        self.changed: dict[int, str] = {}  # entries that do not match their hash, and which column was changed
        self.is_too_large = False

    def read_entry(self, entry: audit_log.StoredEntry, is_intact: bool) -> None:
        """Store the statements of an entry, unless it does not match its own hash."""
        data = entry.data if isinstance(entry.data, dict) else {}
        if entry.kind == Kind.RECORD_UPGRADED or entry.number == 1:
            # Even if the entry was changed: with a higher format, no row needs fewer statements.
            complete = data.get(audit_log.IS_COMPLETE)
            self.format = max(self.format, complete if isinstance(complete, int) else 0)
        if not is_intact:
            # A row that replaced names may explain is named with the closed account's entry.
            if len(self.changed) < MAX_FAULTS and not entry.may_be_renamed():
                self.changed[entry.number] = entry.changed_column()
            return
        if entry.kind == Kind.EXPORTED and ROWS not in data:
            self._store(entry.number, EXPORT.name, str(entry.about).replace("-", ""), _legacy_export(entry, data))
        for table, key, values in statements.stated_in(data):
            if table in AUDITED:
                since = {"": entry.at} if entry.kind == Kind.RECORD_UPGRADED else {}
                self._store(entry.number, table, key, {**values, **since})
        for table, key in statements.deleted_in(data):
            self.stated.pop((table, key), None)

    def _store(self, number: int, table: str, key: str, values: Mapping[str, Any]) -> None:
        if self._is_in_share(table, key) and not self.is_too_large:
            self.stated.setdefault((table, key), {}).update(values)
            self.entry_number_of[table, key] = number
            if self.share == 0 and len(self.stated) > self.limits.stated_rows:
                self.is_too_large = True
                self.stated, self.entry_number_of = {}, {}

    def _is_in_share(self, table: str, key: str) -> bool:
        return is_in_share(table, key, self.share, self.shares)

    def compare(self, counts: CheckCounts) -> Iterator[Fault]:
        """Yield rows that differ from their statements, up to `MAX_FAULTS` per table."""
        for table in AUDITED.values():
            yield from compared(partial(self._first_faults, table, counts), table.name)

    def _first_faults(self, table: Table, counts: CheckCounts) -> list[Fault]:
        with transaction.atomic():  # after an error in the database, the other tables can still be read
            return list(islice(self._compare_table(table, counts), MAX_FAULTS))

    def _compare_table(self, table: Table, counts: CheckCounts) -> Iterator[Fault]:
        added: list[tuple[str, dict[str, Any]]] = []
        for row in AUDITED_ROWS[table.name].rows(None, self.limits.batch_rows):
            key = table.key(row[1])
            if not self._is_in_share(table.name, key):
                continue
            counts.rows[table.name] += 1
            found, stated = table.read(row), self.stated.pop((table.name, key), None)
            if stated is None and self.format >= AUDITED_SINCE[table.name]:
                if len(added) < MAX_FAULTS:
                    added.append((key, found))
                continue
            ignored = table.progress.ignored(stated or {}, found)
            stated = {name: value for name, value in (stated or {}).items() if name not in ignored}
            for column in statements.differing(stated, found):
                yield self._fault("row_changed", table, key, column)
            counts.note(table, stated, skipped=table.progress.columns)
        yield from self._missing(table, added)

    def _missing(self, table: Table, added: list[tuple[str, dict[str, Any]]]) -> Iterator[Fault]:
        for name, key in [row_key for row_key in self.stated if row_key[0] == table.name]:
            values = {column: value for column, value in self.stated[name, key].items() if column}
            moved = next((row for row in added if row[1] | values == row[1]), None)
            if moved:
                added.remove(moved)
                yield self._fault("row_changed", table, key, "id")
            elif table.has_row(key):
                yield self._fault("row_changed", table, key, "session")
            else:
                yield self._fault("row_deleted", table, key, "")
        for key, _found in added:
            yield self._fault("row_added", table, key, "")

    def _fault(self, kind: Any, table: Table, key: str, column: str) -> Fault:
        return Fault(kind, number=self.entry_number_of.get((table.name, key)), table=table.name, row=key, column=column)


def invitation_faults() -> Iterator[Fault]:
    """Yield the columns of open invitations that are not as the audit log says, up to `MAX_FAULTS`.

    Such an invitation is withdrawn when it is used. Others admit nobody.
    """
    yield from islice(_invitation_faults(), MAX_FAULTS)


def _invitation_faults() -> Iterator[Fault]:
    for pk in Invitation.objects.unused().order_by().values_list(AsText("pk"), flat=True):
        yield from compared(partial(_faults_of_invitation, pk), INVITATION, row=pk)


def _faults_of_invitation(pk: str) -> Iterator[Fault]:
    with transaction.atomic():
        columns = joining.changed_columns(Invitation.objects.select_related("group").get(pk=pk))
    for column in columns:
        yield Fault("row_changed", table=INVITATION, row=pk, column=column)


def _rows(table: Table, _session: object = None) -> QuerySet[Any]:
    rows = table.model._base_manager.order_by("pk")
    return table.stored(rows.filter(session=None) if table is EXPORT else rows)


AUDITED_ROWS = {table.name: CompiledQuery(partial(_rows, table)) for table in AUDITED.values()}


def _legacy_export(entry: audit_log.StoredEntry, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an export that an older audit entry states."""
    values = {name: data[name] for name in ("what", "format", "reason") if name in data}
    if "filters" in data:
        values["filters"] = statements.fingerprint(data["filters"])
    return {"asked_by": entry.by, "asked_from": entry.address, **values}


def upgrade() -> bool:
    """State the rows of an earlier version, in one transaction. Idempotent.

    Returns False, and changes nothing, if the audit log or a stated row was tampered with.
    """
    with transaction.atomic():
        audit_log.lock_head()
        reader = _AuditPass(0, 1, MemoryLimits(stated_rows=10**9))
        _entries, chain_fault = audit_log.check(reader.read_entry)
        if reader.format >= AUDIT_FORMAT:
            return True
        stated = {row_key: set(values) for row_key, values in reader.stated.items()}
        if chain_fault or any(reader.compare(CheckCounts())):
            return False
        rows = _unstated_rows(stated)
        part, is_last = list(islice(rows, ROWS_PER_ENTRY)), False
        while not is_last:
            following = list(islice(rows, ROWS_PER_ENTRY))
            is_last = not following
            complete = {audit_log.IS_COMPLETE: AUDIT_FORMAT} if is_last else {}
            data = statements.merged(*part)
            audit_log.record_by(None, None, Kind.RECORD_UPGRADED, len(part), **data, **complete)
            part = following
    return True


def accept(name: str, key: str) -> bool:
    """State a row as it is now, or that it is gone.

    Return False if there is no such row and none was stated.

    For a finding that people have examined: the audit log says that they accepted the row, and from when on.
    """
    table = AUDITED[name]
    with transaction.atomic():
        audit_log.lock_head()
        reader = _AuditPass(0, 1, MemoryLimits(stated_rows=10**9))
        audit_log.check(reader.read_entry)
        with suppress(ValueError, ValidationError):
            for row in _rows(table).filter(pk=key):
                data = {ROWS: {name: {table.key(row[1]): table.read(row)}}}
                audit_log.record_by(None, None, Kind.ROWS_ACCEPTED, f"{name} {key}", **data)
                return True
        if (name, key) not in reader.stated:
            return False
        audit_log.record_by(None, None, Kind.ROWS_ACCEPTED, f"{name} {key}", **{statements.DELETED_ROWS: {name: [key]}})
    return True


def _unstated_rows(stated: Mapping[tuple[str, str], set[str]]) -> Iterator[dict[str, Any]]:
    """Yield statements about columns that no entry states."""
    for table in AUDITED.values():
        for row in _rows(table).iterator(chunk_size=BATCH_ROWS):
            key, values = table.key(row[1]), table.read(row)
            known = stated.get((table.name, key), set())
            if left := {name: value for name, value in values.items() if name not in known}:
                yield {ROWS: {table.name: {key: left}}}
