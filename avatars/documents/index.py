"""The databases' full-text indexes, which find the passages that may answer a question.

On SQLite it is a table of FTS5, ranked by BM25. On PostgreSQL it is a generated column of the passages, ranked by
`ts_rank_cd`. Both contain the stems of `words`. The tables are created by a migration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def candidates(
    library_id: int, version: int, rare: Sequence[str], others: Sequence[str], limit: int
) -> list[tuple[int, str]]:
    """Return ID and words of the best passages that contain any of the rare words, the best first.

    The other words count only for their order.
    """
    if not rare:
        return []
    sql, query = (_ON_SQLITE, _sqlite_query) if connection.vendor == "sqlite" else (_ON_POSTGRESQL, _postgresql_query)
    with connection.cursor() as cursor:
        cursor.execute(
            sql, {"library": library_id, "version": version, "limit": limit, **query(library_id, rare, others)}
        )
        found: list[tuple[int, str]] = cursor.fetchall()
    return found


_FOUND = """
    JOIN avatars_documentversion v ON v.id = c.version_id
    JOIN avatars_document d ON d.id = v.document_id
    WHERE d.library_id = %(library)s AND v.from_version <= %(version)s
    AND (v.until_version IS NULL OR v.until_version > %(version)s)
"""
_ON_SQLITE = f"""
    SELECT c.id, c.words FROM {TABLE} JOIN avatars_chunk c ON c.id = {TABLE}.rowid {_FOUND}
    AND {TABLE} MATCH %(match)s ORDER BY bm25({TABLE}), c.id LIMIT %(limit)s
"""
_ON_POSTGRESQL = f"""
    SELECT c.id, c.words FROM avatars_chunk c {_FOUND}
    AND c.{COLUMN} @@ to_tsquery('simple', %(match)s)
    ORDER BY ts_rank_cd(c.{COLUMN}, to_tsquery('simple', %(ranked)s)) DESC, c.id LIMIT %(limit)s
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
