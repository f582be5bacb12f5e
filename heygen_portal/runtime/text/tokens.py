"""Words of a text in any script, as search indexes know them: in lower case, without accents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

from heygen_portal.runtime.accents import fold_accents

WORD = re.compile(r"\w+")
# Thai, Lao, Myanmar, Khmer; kana; Han.
UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
)
# Without skin tones, so that a search finds all of them.
EMOJI = "\u2600-\u27bf\U0001f300-\U0001f3fa\U0001f400-\U0001faff"
FLAG_LETTERS = "\U0001f1e6-\U0001f1ff"  # two are a flag
# Combining marks of the scripts in use. A set with more of them would be searched range by range.
FIRST_MARK, END_OF_MARKS = "\u0300", 0x10000


def tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Yield words and emoji, and runs of characters of a script without spaces, marked as such."""
    folded = fold_accents(text)
    if max(folded, default="") < FIRST_MARK:  # European languages, several times as fast
        yield from ((found[0], False) for found in WORD.finditer(folded))
        return
    yield from tokens_as_written(folded)


def tokens_as_written(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the same parts of a text, with its accents and capitals."""
    for found in _token_pattern().finditer(text):
        yield found[0], found.lastgroup == "run"


def pairs(run: str) -> list[str]:
    """Return the pairs of neighbours of a run, or its only character."""
    return [run[at : at + 2] for at in range(max(len(run) - 1, 1))]


@cache
def _token_pattern() -> re.Pattern[str]:
    codes = range(ord(FIRST_MARK), END_OF_MARKS)
    marks = "".join(chr(code) for code in codes if unicodedata.category(chr(code))[0] == "M")
    flag = f"[{FLAG_LETTERS}]{{2}}"
    return re.compile(f"(?P<run>[{UNSPACED}]+)|(?P<emoji>{flag}|[{EMOJI}])|(?P<word>(?:(?![{UNSPACED}])[\\w{marks}])+)")
