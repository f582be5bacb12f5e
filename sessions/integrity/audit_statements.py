"""Rows that belong to no session (exports of lists, checks of the record): audit entries state what they show.

An entry's data holds `rows` as an event's does. The latest statement about a column counts, and verification compares
it with the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count as counting
from itertools import islice
from typing import Any

from django.db import transaction

from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.integrity.damage import Fault
from sessions.integrity.scope import MOST_FAULTS, Bounds, Count, is_in_share
from sessions.lifecycle import coverage
from sessions.lifecycle.coverage import AUDITED, CHECK, EXPORT, ROWS, Table
from sessions.models import Export

Kind, State = AuditEntry.Kind, Export.State
ROWS_EACH = 200
"""Rows that one entry of an upgrade states."""


def faults(count: Count, bounds: Bounds) -> Iterator[Fault]:
    """Look through the audit's list, and compare the rows that it states."""
    with transaction.atomic():
        # Whoever changes such a row appends an entry in the same transaction, and waits for this one.
        found = list(_faults(count, bounds))
    yield from found


def _faults(count: Count, bounds: Bounds) -> Iterator[Fault]:
    for shares in (1 << power for power in counting()):
        first = _Pass(0, shares, bounds)
        entries, harm = audit_log.check(first.take)
        if first.is_too_much:
            continue
        count.entries, count.rows["audit_entry"] = entries, entries
        if harm:
            how, number, column = harm
            table = "audit_head" if how in ("headless", "head_forged") else "audit_entry"
            yield Fault(how, number=number, table=table, row=str(number), column=column)
        yield from first.compare(count)
        for share in range(1, shares):
            following = _Pass(share, shares, bounds)
            audit_log.check(following.take)
            yield from following.compare(count)
        return


class _Pass:
    """What the entries state of one share of the rows, and how the rows compare with it."""

    def __init__(self, share: int, shares: int, bounds: Bounds) -> None:
        self.share, self.shares, self.bounds = share, shares, bounds
        self.stated: dict[tuple[str, str], dict[str, Any]] = {}
        self.number_of: dict[tuple[str, str], int] = {}
        self.is_upgraded = False
        self.is_too_much = False

    def take(self, entry: audit_log.StoredEntry) -> None:
        """Keep what an entry states."""
        data = entry.data if isinstance(entry.data, dict) else {}
        if entry.kind == Kind.EXPORTED and ROWS not in data:
            self._keep(entry.number, EXPORT.name, str(entry.about).replace("-", ""), _exported(entry, data))
        for table, key, said in coverage.stated_in(data):
            if table in AUDITED:
                since = {"": entry.at} if entry.kind == Kind.RECORD_UPGRADED else {}
                self._keep(entry.number, table, key, {**said, **since})
        if data.get(audit_log.IS_COMPLETE) and (entry.kind == Kind.RECORD_UPGRADED or entry.number == 1):
            self.is_upgraded = True

    def _keep(self, number: int, table: str, key: str, said: Mapping[str, Any]) -> None:
        if self._is_mine(table, key) and not self.is_too_much:
            self.stated.setdefault((table, key), {}).update(said)
            self.number_of[table, key] = number
            if self.share == 0 and len(self.stated) > self.bounds.stated:
                self.is_too_much = True
                self.stated, self.number_of = {}, {}

    def _is_mine(self, table: str, key: str) -> bool:
        return is_in_share(table, key, self.share, self.shares)

    def compare(self, count: Count) -> Iterator[Fault]:
        """Yield what does not fit, up to `MOST_FAULTS` of each table."""
        for table in AUDITED.values():
            yield from islice(self._compare_table(table, count), MOST_FAULTS)

    def _compare_table(self, table: Table, count: Count) -> Iterator[Fault]:
        added: list[tuple[str, dict[str, Any]]] = []
        for row in _rows(table).iterator(chunk_size=self.bounds.batch):
            key = table.key(row[1])
            if not self._is_mine(table.name, key):
                continue
            count.rows[table.name] += 1
            found, stated = table.read(row), self.stated.pop((table.name, key), None)
            if stated is None and self.is_upgraded:
                if len(added) < MOST_FAULTS:
                    added.append((key, found))
                continue
            stated = _settled(table, stated or {}, found)
            for column in coverage.differing(stated, found):
                yield self._fault("row_changed", table, key, column)
            count.note(table, stated, skipped=coverage.PROGRESS if table is EXPORT else frozenset())
        yield from self._missing(table, added)

    def _missing(self, table: Table, added: list[tuple[str, dict[str, Any]]]) -> Iterator[Fault]:
        for name, key in [place for place in self.stated if place[0] == table.name]:
            said = {column: value for column, value in self.stated[name, key].items() if column}
            moved = next((row for row in added if row[1] | said == row[1]), None)
            if moved:
                added.remove(moved)
                yield self._fault("row_changed", table, key, "id")
            elif table.model._base_manager.filter(pk=key).exists():
                yield self._fault("row_changed", table, key, "session")
            else:
                yield self._fault("row_deleted", table, key, "")
        for key, _found in added:
            yield self._fault("row_added", table, key, "")

    def _fault(self, how: Any, table: Table, key: str, column: str) -> Fault:
        return Fault(how, number=self.number_of.get((table.name, key)), table=table.name, row=key, column=column)


def _rows(table: Table) -> Any:
    rows = table.model._base_manager.order_by("pk")
    return table.stored(rows.filter(session=None) if table is EXPORT else rows)


def _exported(entry: audit_log.StoredEntry, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry of an earlier version states of an export."""
    said = {name: data[name] for name in ("what", "format", "reason") if name in data}
    if "filters" in data:
        said["filters"] = coverage.fingerprint(data["filters"])
    return {"asked_by": entry.by, "asked_from": entry.address, **said}


def _settled(table: Table, stated: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out how far an export is while its file is being written."""
    is_under_way = (
        table is EXPORT and stated.get("state") == State.WAITING and found["state"] in (State.WAITING, State.WRITING)
    )
    return {name: value for name, value in stated.items() if not (is_under_way and name in coverage.PROGRESS)}


def upgrade() -> bool:
    """State rows of an earlier version, in one transaction; return False if the list or a row does not fit.

    Safe to repeat.
    """
    with transaction.atomic():
        audit_log.lock_head()
        reader = _Pass(0, 1, Bounds(stated=10**9))
        _entries, harm = audit_log.check(reader.take)
        if reader.is_upgraded:
            return True
        stated = {place: set(said) for place, said in reader.stated.items()}
        if harm or any(reader.compare(Count())):
            return False
        rows: list[dict[str, Any]] = []
        for table in (EXPORT, CHECK):
            for row in _rows(table):
                key, said = table.key(row[1]), table.read(row)
                known = stated.get((table.name, key), set())
                if left := {name: value for name, value in said.items() if name not in known}:
                    rows.append({ROWS: {table.name: {key: left}}})
        parts = [rows[start : start + ROWS_EACH] for start in range(0, len(rows), ROWS_EACH)] or [[]]
        for part in parts:
            is_last = part is parts[-1]
            about = coverage.together(*part)
            audit_log.record_by(
                None,
                None,
                Kind.RECORD_UPGRADED,
                len(part),
                **about,
                **({audit_log.IS_COMPLETE: True} if is_last else {}),
            )
    return True
