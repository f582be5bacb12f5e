"""Comparison of transcripts by words.

Sources differ in case, spaces and punctuation.
"""

from __future__ import annotations

from collections.abc import Sequence

from heygen_portal.runtime.text.comparison import words

# Speaker and text.
Line = tuple[str, str]


def missing(known: Sequence[Line], theirs: Sequence[Line]) -> list[int]:
    """Return the indexes of their lines that are not among the known ones.

    Each known line accounts for one equal line, or for several lines that are parts of it.
    """
    remaining = [(who, words(text)) for who, text in known]
    unknown = []
    for index, (who, text) in enumerate(theirs):
        line = (who, words(text))
        if line in remaining:
            remaining.remove(line)
        elif line[1]:
            unknown.append((index, line))
    found = []
    for index, (who, their_words) in unknown:
        for at, (whose, known_words) in enumerate(remaining):
            if whose == who and _contains(known_words, their_words):
                remaining[at] = whose, _without(known_words, their_words)
                break
        else:
            found.append(index)
    return found


def confirmations(claimed: Sequence[Line], theirs: Sequence[Line]) -> dict[int, list[int]]:
    """Return the indexes of their lines that confirm each claimed line, by its index.

    A claimed line is confirmed if it equals one of their lines, several consecutive ones, or a part of one. The same
    words confirm only one claim.
    """
    remaining = [(who, words(text)) for who, text in theirs]
    confirmed: dict[int, list[int]] = {}
    for match in (_equal_line, _consecutive_lines, _part_of_line):
        for index, (who, text) in enumerate(claimed):
            spoken = words(text)
            if index not in confirmed and spoken and (by := match(remaining, who, spoken)):
                confirmed[index] = by
    return confirmed


def _equal_line(remaining: list[Line], who: str, spoken: str) -> list[int]:
    for at, line in enumerate(remaining):
        if line == (who, spoken):
            remaining[at] = who, ""
            return [at]
    return []


def _consecutive_lines(remaining: list[Line], who: str, spoken: str) -> list[int]:
    own = [at for at, (whose, known) in enumerate(remaining) if whose == who and known]
    for begin in range(len(own)):
        rest, by = spoken, []
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


def _part_of_line(remaining: list[Line], who: str, spoken: str) -> list[int]:
    for at, (whose, known) in enumerate(remaining):
        if whose == who and _contains(known, spoken):
            remaining[at] = who, _without(known, spoken)
            return [at]
    return []


def _contains(text: str, part: str) -> bool:
    return f" {part} " in f" {text} "


def _without(text: str, part: str) -> str:
    return f" {text} ".replace(f" {part} ", " | ", 1).strip()
