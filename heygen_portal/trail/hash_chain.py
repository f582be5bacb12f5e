"""Hash chains: each row holds the hash of the one before; and their diagnosis."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain as joined
from itertools import islice, pairwise, product
from typing import Any, Literal, Protocol
from zlib import crc32

Tampering = Literal["changed", "deleted", "inserted", "swapped", "truncated", "forged"]
MAX_EXACT_FLOAT = 1e15
"""PostgreSQL returns floats beyond this as integers."""
MAX_INTEGER_DIGITS = 300
"""Python refuses to parse integers of many more digits."""
MAX_ZEROS = 10
"""Zeros per row for which both signs are tried: PostgreSQL's jsonb keeps no negative zero."""
MAX_VARIANT_BYTES = 32 * 2**20
"""Size of all variants of a row together; of a larger row none is tried."""
MAX_SEARCH_BYTES = 64 * 2**20
"""Bytes hashed in the search for the number that a row had before. If it is not found, the row counts as changed."""

canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def storable(value: Any) -> Any:
    """Return JSON data in a form that both databases return unchanged.

    Its hash stays valid.
    """
    match value:
        case bool() | None:
            return value
        case str():
            clean = value.replace("\0", "\ufffd") if "\0" in value else str(value)
            return clean if _is_text(clean) else clean.encode("utf-8", "replace").decode()
        case int():
            return int(value) if abs(value) < 10**MAX_INTEGER_DIGITS else str(value)[:MAX_INTEGER_DIGITS]
        case float():
            if not math.isfinite(value):
                return None
            exact = value if abs(value) < MAX_EXACT_FLOAT else int(value)
            return exact or 0  # a negative zero loses its sign
        case dict():
            return {storable(str(key)): storable(each) for key, each in value.items()}
        case list() | tuple():
            return [storable(each) for each in value]
    return str(value)


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in value)


def checksums(*values: str) -> str:
    """Return the CRC-32 of each value, 8 hexadecimal digits each.

    They prove nothing, but tell which value was changed when the hash does not match.
    """
    return "".join(f"{crc32(each.encode('utf-8', 'surrogatepass')):08x}" for each in values)


def first_mismatch(known: str, names: Sequence[str], values: Sequence[str]) -> str:
    """Return the first column whose checksum differs, or an empty string."""
    if not known:
        return ""
    for place, (name, each) in enumerate(zip(names, values, strict=True)):
        if known[8 * place : 8 * place + 8] != checksums(each):
            return name
    return ""


def negative_zero_variants(value: Any) -> Iterable[Any]:
    """Yield the data with every combination of zeros made negative.

    A database may have dropped their signs.
    """
    places = list(_zero_paths(value, ()))
    if not 0 < len(places) <= MAX_ZEROS or len(canonical(value)) << len(places) > MAX_VARIANT_BYTES:
        return
    for signs in product((False, True), repeat=len(places)):
        if any(signs):
            changed = json.loads(json.dumps(value))
            for place, is_negative in zip(places, signs, strict=True):
                if is_negative:
                    _negate_at(changed, place)
            yield changed


def negative_zero_variant_count(value: Any) -> int:
    """Return how many forms of the data `negative_zero_variants` and the stored one are."""
    places = sum(1 for _path in _zero_paths(value, ()))
    return 1 << places if places <= MAX_ZEROS else 1


def _zero_paths(value: Any, path: tuple[Any, ...]) -> Iterable[tuple[Any, ...]]:
    if isinstance(value, float) and value == 0:
        yield path
    elif isinstance(value, dict):
        yield from joined.from_iterable(_zero_paths(each, (*path, key)) for key, each in value.items())
    elif isinstance(value, list):
        yield from joined.from_iterable(_zero_paths(each, (*path, place)) for place, each in enumerate(value))


def _negate_at(value: Any, path: tuple[Any, ...]) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = -0.0


class Row(Protocol):
    """A row of a hash chain."""

    @property
    def number(self) -> int: ...
    @property
    def previous_hash(self) -> str: ...
    @property
    def hash(self) -> str: ...
    def matches_hash(self, number: int | None = None, previous_hash: str | None = None) -> bool:
        """Whether the stored hash matches the content.

        If given, at this number and after this hash.
        """

    def search_bytes(self) -> int:
        """Return how many bytes `matches_hash` hashes for each number."""

    def hashes_to(self, expected: str) -> bool:
        """Whether the content has the expected hash, whatever the stored hash is."""

    def changed_column(self) -> str:
        """Return the changed column according to the checksums, or an empty string."""


Finding = tuple[Tampering, int, str]
"""The kind of tampering, the number of the row, and the column, empty if unknown."""


def continues(row: Row, number: int, last_hash: str) -> bool:
    """Whether the row is intact, has this number and follows the row with this hash."""
    return row.number == number and row.previous_hash == last_hash and row.matches_hash()


def find_tampering(
    rows: Iterable[Row], known: Callable[[int], str], find: Callable[[int], Row | None], length: int
) -> Finding | None:
    """Return the first tampering in a chain, or None.

    `known` returns the hash recorded elsewhere for a number, or an empty string. `find` reads one row by its number.
    Keeps two rows in memory.
    """
    last_hash = ""
    for place, (row, following) in enumerate(pairwise(joined(rows, (None,))), start=1):
        assert row is not None  # only the last has none after it
        if not continues(row, place, last_hash):
            return _diagnose_break(place, row, following, last_hash, known, find, length)
        if (noted := known(place)) and noted != row.hash:
            return "forged", place, ""
        last_hash = row.hash
    return None


def _diagnose_break(
    number: int,
    row: Row,
    following: Row | None,
    last_hash: str,
    known: Callable[[int], str],
    find: Callable[[int], Row | None],
    length: int,
) -> Finding:
    """Return what was done to the row at which the chain breaks."""
    successor_hash = following.previous_hash if following else known(number)
    if row.number == number - 1:
        return "inserted", number - 1, ""  # the same number twice
    if row.number != number:
        is_moved = row.matches_hash(number) and row.previous_hash == last_hash
        return ("changed", number, "number") if is_moved else ("deleted", number, "")
    if row.matches_hash():
        # The row itself is intact, but it follows a row other than the one before it.
        is_original = number > 1 and successor_hash in (row.hash, "")
        return "forged", number - 1 if is_original else number, ""
    if row.previous_hash != last_hash and row.matches_hash(None, last_hash):
        return "changed", number, "previous_hash"
    numbers = islice(_nearest(number, length + 1), MAX_SEARCH_BYTES // max(1, row.search_bytes()))
    was = next((other for other in numbers if row.matches_hash(other)), None)
    if was is None:
        if following and following.matches_hash(number):
            return "inserted", number, ""  # the rest was moved up
        if successor_hash and row.hashes_to(successor_hash):
            return "forged", number, "hash"
        return "changed", number, row.changed_column() or ("prints" if not successor_hash else "")
    if was == number - 1:
        return "inserted", was, ""  # what follows was moved up
    there = find(was)
    if there and there.matches_hash(number):
        return "swapped", number, ""
    return "deleted", number, ""  # what follows was moved down


def _nearest(number: int, last: int) -> Iterable[int]:
    """Yield the other numbers up to the last, the nearest first."""
    for distance in range(1, last + 1):
        for other in (number - distance, number + distance):
            if 1 <= other <= last:
                yield other
