"""The databases' full-text indexes, which find the passages that may answer a question.

On SQLite it is a table of FTS5, ranked by BM25. On PostgreSQL it is a generated column of the passages, ranked by
`ts_rank_cd`. Both contain the stems of `words`. The tables are created by a migration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection

from avatars.models import Chunk

TABLE = "avatars_chunk_index"
COLUMN = "search"


def add(library_id: int, chunks: Iterable[Chunk]) -> None:
    """Make stored passages findable."""
    if connection.vendor == "sqlite":
        rows = [(chunk.pk, _scoped(library_id, chunk.words.split())) for chunk in chunks]
        with connection.cursor() as cursor:
            cursor.executemany(f"INSERT OR REPLACE INTO {TABLE}(rowid, words) VALUES (%s, %s)", rows)


def remove(chunk_ids: Iterable[int]) -> None:
    """Remove passages from the index. On PostgreSQL, emptying their words has done so."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.executemany(f"DELETE FROM {TABLE} WHERE rowid = %s", [(pk,) for pk in chunk_ids])


def forget_removed() -> None:
    """Remove what FTS5 keeps of removed passages until it merges its parts."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {TABLE}({TABLE}) VALUES ('optimize')")


# Plain SQL: a search runs in every turn, and Django takes longer to write these than a database to answer them.


def passages_by_language(library_id: int, version: int) -> dict[str, int]:
    """Return how many passages a library's version has in each language."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_LANGUAGE, {"library": library_id, "version": version})
        return dict(cursor.fetchall())


def frequencies(library_id: int, words: Sequence[str]) -> dict[str, int]:
    """Return in how many passages each word is; 0 for one that only superseded documents have, or none."""
    places = ",".join(["%s"] * len(words))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT word, chunks FROM avatars_libraryword WHERE library_id = %s AND word IN ({places})",
            [library_id, *words],
        )
        return {**dict.fromkeys(words, 0), **dict(cursor.fetchall())}


@dataclass(frozen=True)
class Candidate:
    """A passage that may answer, with the words under which it is stored."""

    chunk_id: int
    words: str
    document_title: str
    page: int | None
    heading: str
    anchor: str
    text: str
    fingerprint: str


def candidates(
    library_id: int, version: int, rare: Sequence[str], others: Sequence[str], limit: int
) -> list[Candidate]:
    """Return the best passages that contain any of the rare words, the best first.

    The other words count only for their order.
    """
    if not rare:
        return []
    sql, query = (_ON_SQLITE, _sqlite_query) if connection.vendor == "sqlite" else (_ON_POSTGRESQL, _postgresql_query)
    with connection.cursor() as cursor:
        cursor.execute(
            sql, {"library": library_id, "version": version, "limit": limit, **query(library_id, rare, others)}
        )
        return [Candidate(*row) for row in cursor.fetchall()]


_COLUMNS = "c.id, c.words, d.title, c.page, c.heading, c.anchor, c.text, c.fingerprint"
_WITH_VERSION = """
    JOIN avatars_documentversion v ON v.id = c.version_id JOIN avatars_document d ON d.id = v.document_id
"""
_IN_VERSION = """
    WHERE d.library_id = %(library)s AND v.from_version <= %(version)s
    AND (v.until_version IS NULL OR v.until_version > %(version)s)
"""
_BY_LANGUAGE = f"""
    SELECT v.language, SUM(v.chunk_count) FROM avatars_documentversion v
    JOIN avatars_document d ON d.id = v.document_id {_IN_VERSION} GROUP BY v.language
"""
_ON_SQLITE = f"""
    SELECT {_COLUMNS} FROM {TABLE} JOIN avatars_chunk c ON c.id = {TABLE}.rowid {_WITH_VERSION} {_IN_VERSION}
    AND {TABLE} MATCH %(match)s ORDER BY bm25({TABLE}), c.id LIMIT %(limit)s
"""
# The index is read once, not once for each document; only the best passages are read whole.
_ON_POSTGRESQL = f"""
    WITH matched AS MATERIALIZED (
        SELECT id, version_id, {COLUMN} FROM avatars_chunk WHERE {COLUMN} @@ to_tsquery('simple', %(match)s)
    ), best AS MATERIALIZED (
        SELECT c.id, ts_rank_cd(c.{COLUMN}, to_tsquery('simple', %(ranked)s)) AS rank
        FROM matched c {_WITH_VERSION} {_IN_VERSION}
        ORDER BY rank DESC, c.id LIMIT %(limit)s
    )
    SELECT {_COLUMNS} FROM best JOIN avatars_chunk c ON c.id = best.id {_WITH_VERSION}
    ORDER BY best.rank DESC, c.id
"""


def _sqlite_query(library_id: int, rare: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    match = " OR ".join(f'"{word}"' for word in _scoped(library_id, rare).split())
    ranked = " OR ".join(f'"{word}"' for word in _scoped(library_id, [*rare, *others]).split())
    return {"match": f"({match}) AND ({ranked})"}


def _scoped(library_id: int, words: Iterable[str]) -> str:
    """Return words with the library's number: one table has all libraries, but each has its own frequencies."""
    return " ".join(f"{library_id}x{word}" for word in words)


def _postgresql_query(library_id: int, rare: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    return {"match": _any_of(rare), "ranked": _any_of([*rare, *others])}


def _any_of(words: Iterable[str]) -> str:
    quoted = (word.replace("\\", "").replace("'", "") for word in words)
    return " | ".join(f"'{word}'" for word in quoted)
