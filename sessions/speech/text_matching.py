"""Comparing what two sides say was said: by its words, as providers disagree on capitals, spaces and signs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

Line = tuple[str, str]
"""Who said it, and what."""


def words(text: str) -> str:
    """Return the words of a text alone, each separated by one space."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def missing(known: Sequence[Line], theirs: Sequence[Line]) -> list[int]:
    """Return the places of their lines that are not among the known ones.

    The same words count once for each time they were said. One that is part of a known line is known.
    """
    left = [(who, words(text)) for who, text in known]
    unknown = []
    for place, (who, text) in enumerate(theirs):
        said = (who, words(text))
        if said in left:
            left.remove(said)
        elif said[1]:
            unknown.append((place, said))
    found = []
    for place, (who, said_words) in unknown:
        for at, (whose, known_words) in enumerate(left):
            if whose == who and _holds(known_words, said_words):
                left[at] = whose, _without(known_words, said_words)
                break
        else:
            found.append(place)
    return found


def confirmations(claimed: Sequence[Line], theirs: Sequence[Line]) -> dict[int, list[int]]:
    """Return which of their lines confirm which claimed line, by their places.

    A claimed line is confirmed where each of its words is theirs: it is one of their lines, part of one, or several of
    them in a row. The same words confirm only one claim.
    """
    left = [(who, words(text)) for who, text in theirs]
    confirmed: dict[int, list[int]] = {}
    for test in (_same, _in_a_row, _part):
        for place, (who, text) in enumerate(claimed):
            said = words(text)
            if place not in confirmed and said and (by := test(left, who, said)):
                confirmed[place] = by
    return confirmed


def _same(left: list[Line], who: str, said: str) -> list[int]:
    for at, line in enumerate(left):
        if line == (who, said):
            left[at] = who, ""
            return [at]
    return []


def _in_a_row(left: list[Line], who: str, said: str) -> list[int]:
    own = [at for at, (whose, known) in enumerate(left) if whose == who and known]
    for begin in range(len(own)):
        rest, by = said, []
        for at in own[begin:]:
            if not f"{rest} ".startswith(f"{left[at][1]} "):
                break
            rest = rest[len(left[at][1]) :].strip()
            by.append(at)
            if not rest:
                for used in by:
                    left[used] = who, ""
                return by
    return []


def _part(left: list[Line], who: str, said: str) -> list[int]:
    for at, (whose, known) in enumerate(left):
        if whose == who and _holds(known, said):
            left[at] = who, _without(known, said)
            return [at]
    return []


def _holds(text: str, part: str) -> bool:
    return f" {part} " in f" {text} "


def _without(text: str, part: str) -> str:
    return f" {text} ".replace(f" {part} ", " | ", 1).strip()
