"""Comparison of words regardless of accents and case."""

from __future__ import annotations

import unicodedata


def fold_accents(text: str) -> str:
    """Return text in lower case without accents: "Niño" becomes "nino"."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in plain if not unicodedata.combining(sign))
