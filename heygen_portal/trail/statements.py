"""Statements: what hash-chained rows say about rows of other tables.

The data of an event or audit entry may contain statements under `rows`: {table: {key: {column: value}}}. Verification
compares the latest statement about a column with the row. Values are JSON: times in ISO 8601 and UTC, durations in
microseconds, decimals as text, UUID keys as 32 hexadecimal digits, and for JSON, binary values and long texts their
SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError, models, transaction
from django.db.models import QuerySet

from heygen_portal.trail.raw_values import AddressText, AsText, DecimalText, IsoText, MicrosecondsText, blob

ROWS = "rows"  # the key of the statements in the data of an event or entry
DELETED_ROWS = "deleted_rows"  # the key of statements that rows were deleted: {table: [key]}
NOT_SHOWN = "not shown to auditors"


@dataclass(frozen=True)
class Progress:
    """Columns that the worker changes without a statement, until the row is complete.

    Rows whose column `state` has one of the values `under_way` are incomplete.
    """

    columns: frozenset[str]
    state: str
    under_way: frozenset[str]

    def ignored(self, stated: Mapping[str, Any], found: Mapping[str, Any]) -> frozenset[str]:
        """Return the columns that may differ from the statement: none unless both say that the row is incomplete."""
        values = (stated.get(self.state), found.get(self.state))
        is_under_way = all(isinstance(value, str) and value in self.under_way for value in values)
        return self.columns if is_under_way else frozenset()


NO_PROGRESS = Progress(frozenset(), "", frozenset())


@dataclass(frozen=True)
class Table:
    """A table whose rows are stated in sessions' records or in the audit log.

    `session` is the lookup of a row's session, or `pk` for rows that belong to none. With `is_single`, a session has
    at most one such row. `uncovered` are columns that are not stated, each with the reason. `late` are columns that
    change with every activity and are stated when the session ends. `derived` are datetime columns that are not
    stated, each with the annotation that must equal it as text. `meanings` are stated like columns, but each is an
    expression whose value is a text, such as what another table calls the row of a foreign key. `progress` are columns
    that the worker changes without a statement for a while. `since` is the format, of the record or of the audit log,
    from which on every row is stated.
    """

    name: str
    model: type[models.Model]
    session: str = "session_id"
    is_single: bool = False
    uncovered: Mapping[str, str] = field(default_factory=dict)
    late: frozenset[str] = frozenset()
    derived: Mapping[str, str] = field(default_factory=dict)
    meanings: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = NO_PROGRESS
    since: int = 1

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Covered columns by name."""
        skipped = {*self.uncovered, *self.derived, "session"}
        columns = {
            each.name: each
            for each in self.model._meta.concrete_fields
            if each.name not in skipped and not each.primary_key
        }
        return columns | {name: _text_named(name) for name in self.meanings}

    def rows(self) -> QuerySet[Any]:
        """Return all rows, with what `state` needs."""
        rows: QuerySet[Any] = self.model._base_manager.annotate(**self.meanings)
        return rows

    def key(self, pk: Any) -> str:
        """Return a row's key in statements; empty if a session has at most one such row."""
        return "" if self.is_single else _hex(pk)

    def has_row(self, key: str) -> bool:
        """Whether there is a row with this key, which may be no valid one."""
        try:
            with transaction.atomic():
                return self.model._base_manager.filter(pk=key).exists()
        except (TypeError, ValueError, OverflowError, ValidationError, DataError):
            return False

    def stored(self, rows: QuerySet[Any], *more: Any) -> QuerySet[Any]:
        """Return tuples of session, key and covered columns.

        Values that might be unreadable are returned as text. The derived columns follow, each with the value that
        it must have, and then `more`.
        """
        derived = [part for name, annotation in self.derived.items() for part in (IsoText(name), annotation)]
        covered = map(_expression, self.fields.values())
        meant: QuerySet[Any] = rows.annotate(**self.meanings)
        return meant.values_list(AsText(self.session), AsText("pk"), *covered, *derived, *more)

    def wrong_derived_columns(self, row: tuple[Any, ...]) -> Iterator[str]:
        """Yield the derived columns of a tuple of `stored` whose value is wrong."""
        values = iter(row[2 + len(self.fields) :])
        for name, is_value, must_be in zip(self.derived, values, values, strict=False):
            if is_value != must_be:
                yield name

    def unreadable_columns(self, found: Mapping[str, Any]) -> Iterator[str]:
        """Yield the late columns whose value, in the form of a statement, is none of their type."""
        for name in sorted(self.late):
            if not _is_readable(self.fields[name], found[name]):
                yield name

    def read(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """Return a tuple of `stored` in the form of a statement."""
        return {name: _read(column, value) for (name, column), value in zip(self.fields.items(), row[2:], strict=False)}


def _text_named(name: str) -> Any:
    column = models.CharField()
    column.set_attributes_from_name(name)
    return column


def state(table: Table, row: models.Model, *names: str, late: bool = False) -> dict[str, Any]:
    """Return event data that states these columns of a row.

    Without names, it states all columns except late ones.
    """
    chosen = names or [name for name in table.fields if late or name not in table.late]
    columns = {
        name: stated_value(table.fields[name], getattr(row, table.fields[name].attname))
        for name in chosen
        if name in table.fields
    }
    return {ROWS: {table.name: {table.key(row.pk): columns}}} if columns else {}


def changed(table: Table, before: models.Model | None, after: models.Model) -> dict[str, Any]:
    """Return data that states the columns that differ from `before`; all if new.

    A column that was changed by other means is not stated, so that verification still finds it.
    """
    if before is None:
        return state(table, after)
    attributes = {name: column.attname for name, column in table.fields.items()}
    names = [name for name, each in attributes.items() if getattr(before, each) != getattr(after, each)]
    return state(table, after, *names) if names else {}


def deleted(*rows: tuple[Table, models.Model]) -> dict[str, Any]:
    """Return data that states that these rows were deleted."""
    keys: dict[str, list[str]] = {}
    for table, row in rows:
        keys.setdefault(table.name, []).append(table.key(row.pk))
    return {DELETED_ROWS: keys}


def replaced(table: Table, before: Iterable[models.Model], after: Iterable[models.Model]) -> dict[str, Any]:
    """Return data that states the rows added to and deleted from a relation.

    Rows that were added or deleted by other means are not stated, so that verification still finds them.
    """
    old, new = {row.pk: row for row in before}, {row.pk: row for row in after}
    lost = [(table, row) for pk, row in old.items() if pk not in new]
    added = merged(*(state(table, row) for pk, row in new.items() if pk not in old))
    return {**added, **(deleted(*lost) if lost else {})}


def merged(*stated: Mapping[str, Any]) -> dict[str, Any]:
    """Merge several statements into the data of one event."""
    tables: dict[str, dict[str, Any]] = {}
    lost: dict[str, list[str]] = {}
    for statement in stated:
        for table, rows in statement.get(ROWS, {}).items():
            tables.setdefault(table, {}).update(rows)
        for table, keys in statement.get(DELETED_ROWS, {}).items():
            lost.setdefault(table, []).extend(keys)
    return {**({ROWS: tables} if tables else {}), **({DELETED_ROWS: lost} if lost else {})}


def stated_value(column: Any, value: Any) -> Any:
    """Return the value of a column as it appears in statements."""
    if value is None:
        return None
    match column:
        case models.ForeignKey():
            return stated_value(column.target_field, value)
        case models.DateTimeField():
            return value.astimezone(UTC).isoformat()
        case models.DateField():
            return value.isoformat()
        case models.DurationField():
            return round(value.total_seconds() * 1_000_000)
        case models.DecimalField():
            return str(Decimal(value).quantize(Decimal(1).scaleb(-column.decimal_places)))
        case models.UUIDField():
            return _hex(value)
        case models.JSONField():
            return fingerprint(json.loads(json.dumps(value, cls=column.encoder)))
        case models.BinaryField():
            return hashlib.sha256(bytes(value)).hexdigest()
        case models.TextField():
            return fingerprint(str(value))
        case models.BooleanField():
            return bool(value)
        case models.IntegerField():
            return int(value)
    return str(value)


# Reading from the database: values that an attacker has written must not abort verification.


def _expression(column: Any) -> Any:
    target = column.target_field if isinstance(column, models.ForeignKey) else column
    match target:
        case models.DateTimeField():
            return IsoText(column.attname)
        case models.DurationField():
            return MicrosecondsText(column.attname)
        case models.DecimalField():
            return DecimalText(column.attname, places=target.decimal_places)
        # Booleans as text, because Python's sqlite3 reads every value except 1 as false.
        case models.UUIDField() | models.JSONField() | models.DateField() | models.BooleanField():
            return AsText(column.attname)
        case models.GenericIPAddressField():
            return AddressText(column.attname)
    return column.attname


UNREADABLE = "unreadable: "  # before a value that is none of its column's type
STORED_BOOLEANS = {"1": True, "0": False, "true": True, "false": False}  # on SQLite and PostgreSQL


def _read(column: Any, value: Any) -> Any:
    if value is None:
        return None
    target = column.target_field if isinstance(column, models.ForeignKey) else column
    try:
        match target:
            case models.UUIDField():
                return _hex(value)
            case models.DurationField():
                return int(value)
            case models.JSONField():
                return fingerprint(json.loads(value))
            case models.BinaryField():
                return hashlib.sha256(blob(value)).hexdigest()
            case models.TextField():
                return fingerprint(value)
            case models.BooleanField():
                return STORED_BOOLEANS[value]
    except (TypeError, ValueError, LookupError, RecursionError):
        return f"{UNREADABLE}{value!r}"[:200]
    return value


def _is_readable(column: Any, value: Any) -> bool:
    """Whether a value that `read` returned can be one of the column."""
    if value is None:
        return bool(column.null)
    match column:
        case models.DateTimeField():
            return _is_time(value)
        case models.IntegerField():
            return isinstance(value, int)
    return not str(value).startswith(UNREADABLE)


def _is_time(value: str) -> bool:
    try:
        return bool(datetime.fromisoformat(value))
    except ValueError:
        return False


UUID_LENGTH = 36  # with hyphens; in a shorter number a hyphen is a sign


def _hex(key: Any) -> str:
    text = str(key)
    return text.replace("-", "") if len(text) == UUID_LENGTH else text


canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def fingerprint(value: Any) -> str:
    """Return the SHA-256 by which statements represent a JSON value."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def differing(stated: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the columns whose value differs from the statement."""
    for name, value in stated.items():
        if name in found and found[name] != value:
            yield name


def stated_in(data: Any) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Yield table, key and columns of each row stated in an event's data.

    Malformed data yields nothing.
    """
    tables = data.get(ROWS) if isinstance(data, dict) else None
    if isinstance(tables, dict):
        for table, rows in tables.items():
            if isinstance(rows, dict):
                for key, columns in rows.items():
                    if isinstance(columns, dict):
                        # The empty name is that of a note of the verification, not of a column.
                        named = {name: each for name, each in columns.items() if name} if "" in columns else columns
                        yield table, key, named


def deleted_in(data: Any) -> Iterator[tuple[str, str]]:
    """Yield table and key of each row that is stated to be deleted.

    Malformed data yields nothing.
    """
    tables = data.get(DELETED_ROWS) if isinstance(data, dict) else None
    if isinstance(tables, dict):
        for table, keys in tables.items():
            if isinstance(keys, list):
                yield from ((table, key) for key in keys if isinstance(key, str))
