"""Comparing words without their accents and capitals."""

from __future__ import annotations

import unicodedata


def fold_accents(text: str) -> str:
    """Return a text in lower case and without accents: "Niño" as "nino"."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in plain if not unicodedata.combining(sign))
