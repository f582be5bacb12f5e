"""Which columns the chained record covers, and what it says of a row.

The data of an event or audit entry may hold `rows`: {table: {key: {column: value}}}. The latest statement about a
column counts, and verification compares it with the row. Values are what JSON holds: moments in ISO 8601 and UTC,
durations in microseconds, decimals as text, keys that are UUIDs as 32 hexadecimal digits; of JSON and of sealed texts
the SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db import models
from django.db.models import QuerySet

from heygen_portal.trail.raw_values import AddressText, AsText, DecimalText, IsoText, MicrosecondsText, blob
from sessions.models import (
    Conversation,
    Erasure,
    Export,
    HistoryCheck,
    LegalHold,
    ProviderErasure,
    SessionTask,
    SessionTotal,
    StreamingSession,
    Utterance,
)

ROWS = "rows"
"""Where an event's data keeps what it says of rows."""
SEAL = "seal"
"""Under this table an event states that it is sealed."""
WHOLE_ROWS = 2
"""The format of a session's record from which on it states every row that is shown of it."""
WITH_CONVERSATION = 3
"""The format from which on it states the session's conversation, too."""
FORMAT = WITH_CONVERSATION
"""The newest: all that is shown is stated, from the first event or from an upgrade on."""
NOT_SHOWN = "not shown to auditors"


@dataclass(frozen=True)
class Table:
    """A table whose rows belong to sessions and are stated in their records."""

    name: str
    model: type[models.Model]
    session: str = "session_id"
    """How a row names its session."""
    uncovered: Mapping[str, str] = field(default_factory=dict)
    """Columns that no event states, each with the reason."""
    late: frozenset[str] = frozenset()
    """Columns that change with every sign of life: stated when the session ends."""
    derived: Mapping[str, str] = field(default_factory=dict)
    """Columns with a moment that no event states, each with the annotation that must be the same, as text."""
    since: int = WHOLE_ROWS
    """The format of a record from which on these rows are stated."""

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The covered columns by name."""
        skipped = {*self.uncovered, *self.derived, "session"}
        return {
            each.name: each
            for each in self.model._meta.concrete_fields
            if each.name not in skipped and not each.primary_key
        }

    def key(self, pk: Any) -> str:
        """Return how statements name a row; empty where a session has one at most."""
        return "" if self.is_single else _hex(pk)

    @cached_property
    def is_single(self) -> bool:
        return self.model in (StreamingSession, Conversation) or self.model._meta.pk.name == "session"

    def stored(self, rows: QuerySet[Any], *more: Any) -> QuerySet[Any]:
        """Return tuples of session, key and covered columns, as text where a value could be unreadable.

        Then come the derived columns, each with the value that it must have.
        """
        derived = [part for name, annotation in self.derived.items() for part in (IsoText(name), annotation)]
        covered = map(_expression, self.fields.values())
        return rows.values_list(AsText(self.session), AsText("pk"), *covered, *derived, *more)

    def misfits(self, row: tuple[Any, ...]) -> Iterator[str]:
        """Yield the derived columns of a tuple of `stored` that do not have the value they must have."""
        values = iter(row[2 + len(self.fields) :])
        for name, is_value, must_be in zip(self.derived, values, values, strict=False):
            if is_value != must_be:
                yield name

    def read(self, row: tuple[Any, ...]) -> dict[str, Any]:
        """Return what a tuple of `stored` says, as a statement would."""
        return {name: _read(column, value) for (name, column), value in zip(self.fields.items(), row[2:], strict=False)}


SESSION = Table(
    "session",
    StreamingSession,
    "pk",
    uncovered={
        "deadline_at": "when the worker looks next: compared with the session's limits",
        "record_due_at": "when the worker reads the provider's record: compared with the events that tell of it",
        "booked_at": "when the worker added it to the totals: compared with the totals",
    },
    late=frozenset({"active_at", "abandoned_at", "stop_attempts", "stop_trouble"}),
)
CONVERSATION = Table(
    "conversation",
    Conversation,
    "pk",
    derived={"ended_at": "sessions_ended_at"},
    since=WITH_CONVERSATION,
)
"""Its row belongs to its first session, which has the same ID."""
TASK = Table("task", SessionTask)
LINE = Table("line", Utterance)
TOTAL = Table("total", SessionTotal)
HOLD = Table("hold", LegalHold)
ERASURE = Table("erasure", Erasure)
CARRIED = Table(
    "provider_erasure",
    ProviderErasure,
    "erasure__session_id",
    uncovered={"due_at": f"{NOT_SHOWN}: when the worker asks next"},
)
EXPORT = Table(
    "export",
    Export,
    uncovered={
        "last_key": f"{NOT_SHOWN}: where the worker writes on",
        "touched_at": f"{NOT_SHOWN}: when the worker wrote last",
    },
)
BELOW = (CONVERSATION, TASK, LINE, TOTAL, HOLD, ERASURE, CARRIED, EXPORT)
"""Tables with rows that belong to a session."""
TABLES = {table.name: table for table in (SESSION, *BELOW)}

CHECK = Table("check", HistoryCheck, "pk")
AUDITED = {table.name: table for table in (EXPORT, CHECK)}
"""Tables with rows that belong to no session: audit entries state them."""
PROGRESS = frozenset({"state", "rows_total", "rows_done", "written", "expires_at"})
"""Columns of an export that change while its file is written; they are stated when that ends."""


def state(table: Table, row: models.Model, *names: str, late: bool = False) -> dict[str, Any]:
    """Return an event's data that states these columns of a row; without names, all that are not late."""
    chosen = names or [name for name in table.fields if late or name not in table.late]
    said = {
        name: said_of(table.fields[name], getattr(row, table.fields[name].attname))
        for name in chosen
        if name in table.fields
    }
    return {ROWS: {table.name: {table.key(row.pk): said}}} if said else {}


def together(*stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return one event's data out of several statements."""
    merged: dict[str, dict[str, Any]] = {}
    for said in stated:
        for table, rows in said.get(ROWS, {}).items():
            merged.setdefault(table, {}).update(rows)
    return {ROWS: merged} if merged else {}


def said_of(column: Any, value: Any) -> Any:
    """Return what a statement says of a column with this value."""
    if value is None:
        return None
    match column:
        case models.ForeignKey():
            return said_of(column.target_field, value)
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
        case models.BooleanField():
            return bool(value)
        case models.IntegerField():
            return int(value)
    return str(value)


# What is stored, as the database tells it: values that a hostile hand has written must not end the look.


def _expression(column: Any) -> Any:
    target = column.target_field if isinstance(column, models.ForeignKey) else column
    match target:
        case models.DateTimeField():
            return IsoText(column.attname)
        case models.DurationField():
            return MicrosecondsText(column.attname)
        case models.DecimalField():
            return DecimalText(column.attname, places=target.decimal_places)
        # A boolean, because Python's sqlite3 reads whatever is not 1 as false.
        case models.UUIDField() | models.JSONField() | models.DateField() | models.BooleanField():
            return AsText(column.attname)
        case models.GenericIPAddressField():
            return AddressText(column.attname)
    return column.attname


BOOLEANS = {"1": True, "0": False, "true": True, "false": False}
"""As the databases write them."""


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
            case models.BooleanField():
                return BOOLEANS[value]
    except (TypeError, ValueError, LookupError, RecursionError):
        return f"unreadable: {value!r}"[:200]
    return value


UUID_LENGTH = 36
"""With its hyphens; in a number one is a sign."""


def _hex(key: Any) -> str:
    text = str(key)
    return text.replace("-", "") if len(text) == UUID_LENGTH else text


canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def fingerprint(value: Any) -> str:
    """Return what statements say of JSON."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def differing(stated: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the columns that are not as they were stated."""
    for name, value in stated.items():
        if name in found and found[name] != value:
            yield name


def stated_in(data: Any) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Yield table, key and columns of each row that an event's data states."""
    tables = data.get(ROWS) if isinstance(data, dict) else None
    if isinstance(tables, dict):
        for table, rows in tables.items():
            if isinstance(rows, dict):
                for key, said in rows.items():
                    if isinstance(said, dict):
                        yield table, key, said
