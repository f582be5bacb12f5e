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
    remaining = [(who, words(text)) for who, text in known]
    unknown = []
    for index, (who, text) in enumerate(theirs):
        said = (who, words(text))
        if said in remaining:
            remaining.remove(said)
        elif said[1]:
            unknown.append((index, said))
    found = []
    for index, (who, said_words) in unknown:
        for at, (whose, known_words) in enumerate(remaining):
            if whose == who and _contains(known_words, said_words):
                remaining[at] = whose, _without(known_words, said_words)
                break
        else:
            found.append(index)
    return found


def confirmations(claimed: Sequence[Line], theirs: Sequence[Line]) -> dict[int, list[int]]:
    """Return which of their lines confirm which claimed line, by their places.

    A claimed line is confirmed where each of its words is theirs: it is one of their lines, part of one, or several of
    them in a row. The same words confirm only one claim.
    """
    remaining = [(who, words(text)) for who, text in theirs]
    confirmed: dict[int, list[int]] = {}
    for match in (_equal_line, _consecutive_lines, _part_of_line):
        for index, (who, text) in enumerate(claimed):
            said = words(text)
            if index not in confirmed and said and (by := match(remaining, who, said)):
                confirmed[index] = by
    return confirmed


def _equal_line(remaining: list[Line], who: str, said: str) -> list[int]:
    for at, line in enumerate(remaining):
        if line == (who, said):
            remaining[at] = who, ""
            return [at]
    return []


def _consecutive_lines(remaining: list[Line], who: str, said: str) -> list[int]:
    own = [at for at, (whose, known) in enumerate(remaining) if whose == who and known]
    for begin in range(len(own)):
        rest, by = said, []
        for at in own[begin:]:
            if not f"{rest} ".startswith(f"{remaining[at][1]} "):
                break
            rest = rest[len(remaining[at][1]) :].strip()
            by.append(at)
            if not rest:
                for used in by:
                    remaining[used] = who, ""
                return by
    return []


def _part_of_line(remaining: list[Line], who: str, said: str) -> list[int]:
    for at, (whose, known) in enumerate(remaining):
        if whose == who and _contains(known, said):
            remaining[at] = who, _without(known, said)
            return [at]
    return []


def _contains(text: str, part: str) -> bool:
    return f" {part} " in f" {text} "


def _without(text: str, part: str) -> str:
    return f" {text} ".replace(f" {part} ", " | ", 1).strip()
