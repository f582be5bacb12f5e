"""Comparison of texts by their words."""

from __future__ import annotations

import re
import unicodedata


def words(text: str) -> str:
    """Return the words of a text in lower case, separated by single spaces."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))
