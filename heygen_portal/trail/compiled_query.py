"""Queries that Django compiles once per process.

Verification reads some thirty tables, most of them empty. Compiling such a query takes several times as long as
running it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet, UUIDField
from django.db.models.sql.compiler import SQLCompiler

# Compiled in place of a session's ID.
PLACEHOLDER = UUID("e2c3a8d4-6f0b-4b7e-9a51-0d6c8e1f2b39")


@dataclass(frozen=True)
class _Compiled:
    compiler: SQLCompiler
    sql: str
    parameters: tuple[Any, ...]
    is_session: tuple[bool, ...]

    @classmethod
    def of(cls, rows: QuerySet[Any]) -> _Compiled:
        compiler = rows.query.get_compiler(rows.db)
        sql, parameters = compiler.as_sql()
        placeholder = UUIDField().get_db_prep_value(PLACEHOLDER, connection)
        return cls(compiler, sql, tuple(parameters), tuple(each == placeholder for each in parameters))

    def rows(self, session: str | None, chunk_size: int) -> Iterator[tuple[Any, ...]]:
        given = UUIDField().get_db_prep_value(session, connection)
        chosen = zip(self.parameters, self.is_session, strict=True)
        parameters = [given if is_session else each for each, is_session in chosen]
        compiler = copy.copy(self.compiler)  # belongs to a thread's connection
        compiler.connection = connection
        with connection.chunked_cursor() as cursor:
            cursor.execute(self.sql, parameters)
            chunks = iter(lambda: cursor.fetchmany(chunk_size), [])
            yield from map(tuple, compiler.results_iter(chunks))


class CompiledQuery:
    """A query of tuples, of all sessions or of one.

    `make` builds it with `values_list`. It gets the session's ID, or None for all, and must not use other values that
    change.
    """

    def __init__(self, make: Callable[[UUID | None], QuerySet[Any]]) -> None:
        self._make = make
        self._compiled: dict[tuple[str, bool], _Compiled] = {}

    def rows(self, session: str | None, chunk_size: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows, read in chunks."""
        key = (connection.vendor, session is None)
        if (compiled := self._compiled.get(key)) is None:
            compiled = _Compiled.of(self._make(None if session is None else PLACEHOLDER))
            self._compiled[key] = compiled
        return compiled.rows(session, chunk_size)
