"""Query expressions that read columns as text.

Verification reads tables that may have been tampered with. The database converts the values, because Django raises an
exception for a datetime or number that it cannot parse.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import Func, TextField


@contextmanager
def invalid_utf8_allowed(connection: Any) -> Iterator[None]:
    """Let a block read text that is not UTF-8.

    SQLite stores such text, but then refuses to return it.
    """
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    database = connection.connection
    before, database.text_factory = database.text_factory, _decoded
    try:
        yield
    finally:
        database.text_factory = before


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


class AsText(Func):
    """A value as text. A UUID has 32 characters on SQLite and 36 on PostgreSQL."""

    template = "CAST(%(expressions)s AS text)"
    output_field = TextField()


class IsoText(Func):
    """A datetime as `isoformat` writes it.

    Values beyond Python's range (infinity, BC, year 10000) stay as stored.
    """

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        written = "replace(%(expressions)s, ' ', 'T') || '+00:00'"
        fallback = "typeof(%(expressions)s) || ' ' || quote(%(expressions)s)"
        cases = f"CASE typeof(%(expressions)s) WHEN 'text' THEN {written} WHEN 'null' THEN NULL ELSE {fallback} END"
        return self.as_sql(compiler, connection, template=cases)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        form = """'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'"""
        written = f"replace(to_char(%(expressions)s AT TIME ZONE 'UTC', {form}), '.000000', '')"
        is_usual = "%(expressions)s >= '0001-01-01 00:00+00' AND %(expressions)s < '10000-01-01 00:00+00'"
        fallback = "CAST(%(expressions)s AS text)"
        return self.as_sql(compiler, connection, template=f"CASE WHEN {is_usual} THEN {written} ELSE {fallback} END")


class MicrosecondsText(Func):
    """A duration in microseconds, as text."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="CAST(%(expressions)s AS text)")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        micro = "CAST(CAST(extract(epoch FROM %(expressions)s) * 1000000 AS numeric(40, 0)) AS text)"
        fallback = "CAST(%(expressions)s AS text)"
        return self.as_sql(
            compiler, connection, template=f"CASE WHEN isfinite(%(expressions)s) THEN {micro} ELSE {fallback} END"
        )


class DecimalText(Func):
    """A decimal number with all its decimal places, as text."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        places = self.extra["places"]
        rounded = f"printf('%%%%.{places}f', %(expressions)s)"
        fallback = "typeof(%(expressions)s) || ' ' || quote(%(expressions)s)"
        cases = f"CASE WHEN typeof(%(expressions)s) IN ('integer', 'real') THEN {rounded}"
        return self.as_sql(
            compiler, connection, template=f"{cases} WHEN %(expressions)s IS NOT NULL THEN {fallback} END"
        )

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="CAST(%(expressions)s AS text)")


class AddressText(Func):
    """An IP address as text, with the prefix length if it is a network."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="abbrev(%(expressions)s)")


def blob(value: Any) -> bytes:
    """Return a binary value, or raise TypeError.

    `bytes` of a large integer would exhaust memory.
    """
    if not isinstance(value, (bytes, memoryview)):
        raise TypeError(type(value))
    return bytes(value)


TYPE_ORDER = {type(None): 0, int: 1, float: 1, str: 2}


def sort_key(value: Any) -> tuple[int, Any]:
    """Return a sort key with SQLite's order: NULL, numbers, text, binary values."""
    rank = TYPE_ORDER.get(type(value), 3)
    return rank, value if rank else 0
