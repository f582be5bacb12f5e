"""What was done to a list whose rows are numbered without a gap, each with the hash of the one before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

Harm = Literal["changed", "deleted", "inserted", "swapped", "truncated", "forged"]


class Link(Protocol):
    """One row."""

    @property
    def number(self) -> int: ...
    @property
    def previous_hash(self) -> str: ...
    @property
    def hash(self) -> str: ...
    def digest(self, number: int | None = None) -> str:
        """Return the hash of what it says, the row before included, were it this number."""


def follows(link: Link, number: int, last_hash: str) -> bool:
    """Whether this is the row of that number, as it was written after the row with that hash."""
    return link.number == number and link.previous_hash == last_hash and _fits(link)


def misfit(chain: Sequence[Link], known: Mapping[int, str]) -> tuple[Harm, int] | None:
    """Say what happened to the first row of which something is wrong, and name it.

    `known` are the hashes of some numbers, from elsewhere: of seals, or of where the list ends.
    """
    last_hash = ""
    for place, link in enumerate(chain):
        if not follows(link, place + 1, last_hash):
            return _harm(place, chain, known)
        last_hash = link.hash
    for number, its_hash in sorted(known.items()):
        if number > len(chain):
            return "truncated", len(chain) + 1
        if number and chain[number - 1].hash != its_hash:
            return "forged", number
    return None


def _fits(link: Link, number: int | None = None) -> bool:
    return link.hash == link.digest(number)


def _harm(place: int, chain: Sequence[Link], known: Mapping[int, str]) -> tuple[Harm, int]:
    """Say what happened where the chain breaks."""
    link, number = chain[place], place + 1
    following = chain[place + 1] if place + 1 < len(chain) else None
    known_as = following.previous_hash if following else known.get(number, "")
    if link.number == number - 1:
        return "inserted", number - 1  # the same number twice
    if link.number > number:
        return "deleted", number
    if _fits(link):
        # It is in order in itself, but follows another row than the one that stands before it.
        is_original = number > 1 and known_as in (link.hash, "")
        return "forged", number - 1 if is_original else number
    was = next((other for other in range(1, len(chain) + 2) if _fits(link, other)), None)
    if was is None:
        if following and _fits(following, number):
            return "inserted", number  # the rest was moved up
        return ("forged" if known_as == link.digest() else "changed"), number
    if was == number - 1:
        return "inserted", was  # what follows was moved up
    there = chain[was - 1] if was <= len(chain) else None
    if there and _fits(there, number):
        return "swapped", number
    return "deleted", number  # what follows was moved down
