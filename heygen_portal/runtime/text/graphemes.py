"""Characters as people count them: an emoji or a letter with its accents is one."""

from __future__ import annotations

from itertools import islice

from wcwidth import grapheme_boundary_before, iter_graphemes


def count(text: str) -> int:
    """Return the number of grapheme clusters, as browsers count them."""
    return sum(1 for _ in iter_graphemes(text))


def first(text: str, number: int) -> str:
    return "".join(islice(iter_graphemes(text), number))


def last(text: str, number: int) -> str:
    return "".join(list(iter_graphemes(text))[-number:])


def last_boundary(text: str, end: int) -> int:
    """Return the last index up to `end` that splits no character.

    A single character longer than `end` is split.
    """
    if end >= len(text):
        return len(text)
    return grapheme_boundary_before(text, end + 1) or end
