"""Lookups that ignore accents and case: `folded` (contains), `folded_exact`.

Neither database offers that by itself: SQLite's LIKE ignores case in ASCII only, and PostgreSQL's `unaccent` is an
extension. SQLite calls `fold_accents`; PostgreSQL has the same steps in SQL.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from functools import cache
from typing import Any

from django.db.models import CharField, Lookup, TextField

from heygen_portal.runtime.accents import STROKES, fold_accents

SQLITE_FUNCTION = "fold_accents"
END_OF_CASED_SCRIPTS = 0x590  # after Latin, Greek, Cyrillic and Armenian
END_OF_COMBINING = 0x1F000  # no character beyond it has a combining class


class Folded(Lookup):
    """Whether a text contains another one, regardless of accents and case."""

    lookup_name = "folded"
    on_sqlite, on_postgresql = "instr({folded}, %s) > 0", "strpos({folded}, %s) > 0"

    def get_prep_lookup(self) -> str:
        return fold_accents(str(self.rhs))

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        connection.ensure_connection()
        driver: sqlite3.Connection = connection.connection
        driver.create_function(SQLITE_FUNCTION, 1, _fold_or_null, deterministic=True)
        lhs, params = self.process_lhs(compiler, connection)
        return self.on_sqlite.format(folded=f"{SQLITE_FUNCTION}({lhs})"), (*params, self.rhs)

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        lhs, params = self.process_lhs(compiler, connection)
        folded = f"lower(regexp_replace(normalize({lhs}, NFKD), %s, '', 'g'))"
        single, others = _letters()
        folded = f"translate({folded}, %s, %s)"
        for _letter in others:
            folded = f"replace({folded}, %s, %s)"
        replaced = [part for pair in others.items() for part in pair]
        sql = self.on_postgresql.format(folded=folded)
        return sql, (*params, _combining(), *single, *replaced, self.rhs)


class FoldedExact(Folded):
    """Whether a text equals another one, regardless of accents and case."""

    lookup_name = "folded_exact"
    on_sqlite = on_postgresql = "{folded} = %s"


def register() -> None:
    """Register the lookup for all fields with text. Called once all apps are loaded."""
    for field in (CharField, TextField):
        field.register_lookup(Folded)
        field.register_lookup(FoldedExact)


def _fold_or_null(text: Any) -> str | None:
    return None if text is None else fold_accents(str(text))


@cache
def _letters() -> tuple[tuple[str, str], dict[str, str]]:
    """Return the arguments of `translate`, and the remaining replacements.

    `translate` replaces letters by one other letter each.

    Databases with the collation C do not lower any letter beyond ASCII.
    """
    capitals = (chr(code) for code in range(0x80, END_OF_CASED_SCRIPTS) if chr(code).isupper())
    pairs = {letter: letter.lower() for letter in capitals if len(letter.lower()) == 1}
    strokes = {chr(code): plain for code, plain in STROKES.items()} | {"ß": "ss", "ς": "σ"}
    single = {letter: plain for letter, plain in strokes.items() if len(plain) == 1}
    single = {letter: single.get(lower, lower) for letter, lower in pairs.items()} | single
    others = {letter: plain for letter, plain in strokes.items() if len(plain) > 1}
    return ("".join(single), "".join(single.values())), others


@cache
def _combining() -> str:
    """Return a PostgreSQL bracket expression of all combining characters."""
    ranges: list[list[int]] = []
    for code in range(0x300, END_OF_COMBINING):
        if unicodedata.combining(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "[" + "".join(f"\\U{first:08X}-\\U{last:08X}" for first, last in ranges) + "]"
