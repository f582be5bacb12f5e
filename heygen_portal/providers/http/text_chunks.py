"""Splitting of long texts into chunks that a provider accepts."""

from __future__ import annotations

import re

# Ends of sentences first, then of clauses, then any space, so that a break sounds like a pause.
BREAKS = (re.compile(r"[.!?…]['\"»”)]*\s+"), re.compile(r"[,;:]\s+"), re.compile(r"\s+"))


def split_text(text: str, max_characters: int) -> list[str]:
    """Split a text into chunks of at most `max_characters`. Joined, they equal the text."""
    chunks = []
    while len(text) > max_characters:
        cut = next((end for pattern in BREAKS if (end := _last_end(pattern, text, max_characters))), max_characters)
        chunks.append(text[:cut])
        text = text[cut:]
    return [*chunks, text]


def _last_end(pattern: re.Pattern[str], text: str, max_characters: int) -> int:
    return max((match.end() for match in pattern.finditer(text, 0, max_characters)), default=0)
