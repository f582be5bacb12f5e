"""Reasons that staff must give, for example for reading a transcript."""

from __future__ import annotations

from sessions import errors

MIN_REASON_CHARACTERS, MAX_REASON_CHARACTERS = 5, 500  # characters


def checked(given: object) -> str:
    """Return a reason without surrounding spaces.

    Raises ReasonNeeded if it is not a text, too short or too long.
    """
    reason = given.strip() if isinstance(given, str) else ""
    if not MIN_REASON_CHARACTERS <= len(reason) <= MAX_REASON_CHARACTERS:
        raise errors.ReasonNeeded
    return reason
