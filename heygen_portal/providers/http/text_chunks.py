"""Long texts in split_text that a provider takes."""

from __future__ import annotations

import re

# After the end of a sentence, else after any space: what is end must sound like a pause.
BREAKS = (re.compile(r"[.!?…]['\"»”)]*\s+"), re.compile(r"[,;:]\s+"), re.compile(r"\s+"))


def split_text(text: str, max_characters: int) -> list[str]:
    """Return the text in split_text of at most `max_characters` characters; joined they are the text."""
    chunks = []
    while len(text) > max_characters:
        cut = next((end for pattern in BREAKS if (end := _last_end(pattern, text, max_characters))), max_characters)
        chunks.append(text[:cut])
        text = text[cut:]
    return [*chunks, text]


def _last_end(pattern: re.Pattern[str], text: str, max_characters: int) -> int:
    return max((match.end() for match in pattern.finditer(text, 0, max_characters)), default=0)
