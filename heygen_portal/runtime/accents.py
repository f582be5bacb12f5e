"""Comparison of words regardless of accents and case."""

from __future__ import annotations

import unicodedata

# Letters with a stroke or without a dot, which Unicode does not decompose.
STROKES = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe"})


def fold_accents(text: str) -> str:
    """Return text in lower case without accents: "Niño" becomes "nino"."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    if plain.isascii():
        return plain
    return "".join(sign for sign in plain if not unicodedata.combining(sign)).translate(STROKES)
