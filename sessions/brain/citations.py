"""Citations in a model's text: `[1]` after a sentence, `[0]` for "the passages do not answer this"."""

from __future__ import annotations

import re
from dataclasses import dataclass

NO_ANSWER = 0
_CITATION = re.compile(r"[ \t]*\[(\d{1,3}(?:[,;][ \t]*\d{1,3})*)\]")
# What voices would read aloud: Markdown.
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()\s]*\)")
_MARKUP = re.compile(r"(?m)^\s*(?:#{1,6}\s+|[-*•]\s+|>\s+)|(?<!\s)\*+|\*+(?!\s)|`+|(?<!\w)_+|_+(?!\w)")


@dataclass(frozen=True)
class CitedText:
    """A text as it is spoken, and the numbers of the passages that it cites."""

    text: str
    citations: tuple[int, ...]


def take_out(sentence: str, passages: int) -> CitedText:
    """Separate a sentence from its citations and Markdown.

    Numbers above `passages` are left out: the model made them up.
    """
    numbers = [int(number) for found in _CITATION.findall(sentence) for number in re.findall(r"\d+", found)]
    text = _MARKUP.sub("", _LINK.sub(r"\1", _CITATION.sub("", sentence))).strip()
    return CitedText(text, tuple(dict.fromkeys(number for number in numbers if number <= passages)))
