"""Lists whose rows are numbered without a gap, each with the hash of the one before it: what was done to one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain as joined
from itertools import pairwise, product
from typing import Any, Literal, Protocol
from zlib import crc32

Harm = Literal["changed", "deleted", "inserted", "swapped", "truncated", "forged"]
LARGEST_NUMBER = 1e15
"""A float beyond comes back from PostgreSQL as an integer."""
LONGEST_INTEGER = 300
"""Digits; Python refuses to read many more."""
MOST_ZEROS = 10
"""Zeros of a row whose lost sign is looked for: PostgreSQL's jsonb keeps no negative zero."""

canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def storable(value: Any) -> Any:
    """Return JSON data as both databases give it back: what was hashed must read the same for ever."""
    match value:
        case bool() | None:
            return value
        case str():
            clean = value.replace("\0", "\ufffd") if "\0" in value else str(value)
            return clean if _is_text(clean) else clean.encode("utf-8", "replace").decode()
        case int():
            return int(value) if abs(value) < 10**LONGEST_INTEGER else str(value)[:LONGEST_INTEGER]
        case float():
            if not math.isfinite(value):
                return None
            exact = value if abs(value) < LARGEST_NUMBER else int(value)
            return exact or 0  # a negative zero loses its sign
        case dict():
            return {storable(str(key)): storable(each) for key, each in value.items()}
        case list() | tuple():
            return [storable(each) for each in value]
    return str(value)


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in value)


def prints(*said: str) -> str:
    """Return a checksum of each: they prove nothing, and tell which was changed when the hash does not fit."""
    return "".join(f"{crc32(each.encode('utf-8', 'surrogatepass')):08x}" for each in said)


def blamed(known: str, names: Sequence[str], said: Sequence[str]) -> str:
    """Return the first of these columns whose checksum is not the known one; empty where all fit or none is known."""
    if not known:
        return ""
    for place, (name, each) in enumerate(zip(names, said, strict=True)):
        if known[8 * place : 8 * place + 8] != prints(each):
            return name
    return ""


def zeros(value: Any) -> Iterable[Any]:
    """Yield the data with each choice of zeros negative, as it may have been before the database dropped the sign."""
    places = list(_zeros_in(value, ()))
    if not 0 < len(places) <= MOST_ZEROS:
        return
    for signs in product((False, True), repeat=len(places)):
        if any(signs):
            changed = json.loads(json.dumps(value))
            for place, is_negative in zip(places, signs, strict=True):
                if is_negative:
                    _put(changed, place)
            yield changed


def _zeros_in(value: Any, path: tuple[Any, ...]) -> Iterable[tuple[Any, ...]]:
    if isinstance(value, float) and value == 0:
        yield path
    elif isinstance(value, dict):
        yield from joined.from_iterable(_zeros_in(each, (*path, key)) for key, each in value.items())
    elif isinstance(value, list):
        yield from joined.from_iterable(_zeros_in(each, (*path, place)) for place, each in enumerate(value))


def _put(value: Any, path: tuple[Any, ...]) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = -0.0


class Link(Protocol):
    """One row."""

    @property
    def number(self) -> int: ...
    @property
    def previous_hash(self) -> str: ...
    @property
    def hash(self) -> str: ...
    def fits(self, number: int | None = None, previous_hash: str | None = None) -> bool:
        """Whether its hash is that of what it says, were it this number and after the row with that hash."""

    def is_hashed(self, as_what: str) -> bool:
        """Whether what it says has this hash, whatever its own is."""

    def changed(self) -> str:
        """Return the column that was changed, as far as its checksums tell."""


Wrong = tuple[Harm, int, str]
"""What was done, to which number, and to which column, where that is known."""


def follows(link: Link, number: int, last_hash: str) -> bool:
    """Whether this is the row of that number, as it was written after the row with that hash."""
    return link.number == number and link.previous_hash == last_hash and link.fits()


def misfit(
    links: Iterable[Link], known: Callable[[int], str], find: Callable[[int], Link | None], length: int
) -> Wrong | None:
    """Say what happened to the first row of which something is wrong, and name it.

    `known` tells the hash that elsewhere is noted for a number, or nothing; `find` reads one row by its number.
    Holds two rows at a time.
    """
    last_hash = ""
    for place, (link, following) in enumerate(pairwise(joined(links, (None,))), start=1):
        assert link is not None  # only the last has none after it
        if not follows(link, place, last_hash):
            return _harm(place, link, following, last_hash, known, find, length)
        if (noted := known(place)) and noted != link.hash:
            return "forged", place, ""
        last_hash = link.hash
    return None


def _harm(
    number: int,
    link: Link,
    following: Link | None,
    last_hash: str,
    known: Callable[[int], str],
    find: Callable[[int], Link | None],
    length: int,
) -> Wrong:
    """Say what happened where the chain breaks."""
    known_as = following.previous_hash if following else known(number)
    if link.number == number - 1:
        return "inserted", number - 1, ""  # the same number twice
    if link.number != number:
        is_moved = link.fits(number) and link.previous_hash == last_hash
        return ("changed", number, "number") if is_moved else ("deleted", number, "")
    if link.fits():
        # It is in order in itself, but follows another row than the one that stands before it.
        is_original = number > 1 and known_as in (link.hash, "")
        return "forged", number - 1 if is_original else number, ""
    if link.previous_hash != last_hash and link.fits(None, last_hash):
        return "changed", number, "previous_hash"
    was = next((other for other in range(1, length + 2) if link.fits(other)), None)
    if was is None:
        if following and following.fits(number):
            return "inserted", number, ""  # the rest was moved up
        if known_as and link.is_hashed(known_as):
            return "forged", number, "hash"
        return "changed", number, link.changed() or ("prints" if not known_as else "")
    if was == number - 1:
        return "inserted", was, ""  # what follows was moved up
    there = find(was)
    if there and there.fits(number):
        return "swapped", number, ""
    return "deleted", number, ""  # what follows was moved down
