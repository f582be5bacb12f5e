"""Splitting of long texts into chunks that a provider accepts."""

from __future__ import annotations

import re

from heygen_portal.runtime.text import graphemes

# Ends of sentences first, then of clauses, then any space, so that a break sounds like a pause. Scripts without spaces
# have punctuation of their own.
BREAKS = (
    re.compile(r"[.!?…؟۔।]['\"»”)]*\s+|[。！？｡][」』”）]*\s*"),
    re.compile(r"[,;:،؛]\s+|[、，；：]\s*"),
    re.compile(r"\s+"),
)


def split_text(text: str, max_characters: int) -> list[str]:
    """Split a text into chunks of at most `max_characters` code points.

    Joined, they equal the text.
    """
    chunks = []
    while len(text) > max_characters:
        cut = next((end for pattern in BREAKS if (end := _last_end(pattern, text, max_characters))), 0)
        cut = cut or graphemes.last_boundary(text, max_characters)
        chunks.append(text[:cut])
        text = text[cut:]
    return [*chunks, text]


def _last_end(pattern: re.Pattern[str], text: str, max_characters: int) -> int:
    return max((match.end() for match in pattern.finditer(text, 0, max_characters)), default=0)
