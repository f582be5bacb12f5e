"""Reasons that staff must give, for example for reading a transcript."""

from __future__ import annotations

from typing import Any

from heygen_portal.runtime.text import limits
from sessions import errors

MIN_REASON_CHARACTERS, MAX_REASON_CHARACTERS = 5, 500


def checked(given: object) -> str:
    """Return a reason without surrounding spaces.

    Raises ReasonNeeded if it is not a text, too short or too long.
    """
    reason = given.strip() if isinstance(given, str) else ""
    if not MIN_REASON_CHARACTERS <= limits.length(reason, MAX_REASON_CHARACTERS) <= MAX_REASON_CHARACTERS:
        raise errors.ReasonNeeded
    return reason


def form_field(**options: Any) -> limits.LimitedText:
    """Return a form's field for a reason."""
    bounds = {"min_characters": MIN_REASON_CHARACTERS, "max_characters": MAX_REASON_CHARACTERS}
    return limits.LimitedText(**{**bounds, **options})


def field_attributes() -> dict[str, Any]:
    """Return the attributes of a field for a reason that belongs to no form."""
    return limits.attributes(MIN_REASON_CHARACTERS, MAX_REASON_CHARACTERS)
