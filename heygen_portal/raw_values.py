"""Query expressions that read columns as text.

Verification reads tables that may have been tampered with. The database converts the values, because Django raises an
exception for a moment or a number that it cannot parse.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import Func, TextField


@contextmanager
def any_text(connection: Any) -> Iterator[None]:
    """Read text that is not UTF-8, too: SQLite stores whatever it is given, and refuses to hand it out."""
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
    """A value as text; a UUID as 32 or 36 characters."""

    template = "CAST(%(expressions)s AS text)"
    output_field = TextField()


class Written(Func):
    """A moment as `isoformat` writes it; one that Python has no value for (infinity, BC, year 10000) as it is."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        written = "replace(%(expressions)s, ' ', 'T') || '+00:00'"
        odd = "typeof(%(expressions)s) || ' ' || quote(%(expressions)s)"
        cases = f"CASE typeof(%(expressions)s) WHEN 'text' THEN {written} WHEN 'null' THEN NULL ELSE {odd} END"
        return self.as_sql(compiler, connection, template=cases)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        form = """'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'"""
        written = f"replace(to_char(%(expressions)s AT TIME ZONE 'UTC', {form}), '.000000', '')"
        is_usual = "%(expressions)s >= '0001-01-01 00:00+00' AND %(expressions)s < '10000-01-01 00:00+00'"
        odd = "CAST(%(expressions)s AS text)"
        return self.as_sql(compiler, connection, template=f"CASE WHEN {is_usual} THEN {written} ELSE {odd} END")


class Microseconds(Func):
    """A duration as a number of microseconds."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="CAST(%(expressions)s AS text)")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        micro = "CAST(CAST(extract(epoch FROM %(expressions)s) * 1000000 AS numeric(40, 0)) AS text)"
        return self.as_sql(compiler, connection, template=micro)


class Places(Func):
    """A decimal number with all its places."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # printf writes NULL as zero.
        number = f"printf('%%%%.{self.extra['places']}f', %(expressions)s)"
        template = f"CASE WHEN %(expressions)s IS NULL THEN NULL ELSE {number} END"
        return self.as_sql(compiler, connection, template=template)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="CAST(%(expressions)s AS text)")


class Host(Func):
    """An address without its network's width."""

    output_field = TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="host(%(expressions)s)")
