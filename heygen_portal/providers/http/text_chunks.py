"""Long texts in pieces that a provider takes."""

from __future__ import annotations

import re

# After the end of a sentence, else after any space: what is cut must sound like a pause.
ENDS = (re.compile(r"[.!?…]['\"»”)]*\s+"), re.compile(r"[,;:]\s+"), re.compile(r"\s+"))


def pieces(text: str, longest: int) -> list[str]:
    """Return the text in pieces of at most `longest` characters; joined they are the text."""
    found = []
    while len(text) > longest:
        cut = next((end for pattern in ENDS if (end := _last_end(pattern, text, longest))), longest)
        found.append(text[:cut])
        text = text[cut:]
    return [*found, text]


def _last_end(pattern: re.Pattern[str], text: str, longest: int) -> int:
    return max((match.end() for match in pattern.finditer(text, 0, longest)), default=0)
