"""Mask personal data in what users write before it leaves for a model."""

from __future__ import annotations

import re

EMAIL, PHONE, CARD, ID = "[e-mail]", "[phone]", "[card]", "[ID]"
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\"']+@[^\s@<>()\[\],;:\"']+\.[^\W\d_]{2,}", re.UNICODE)
# Spanish DNI and NIE, Italian codice fiscale, US social security number, IBAN.
_IDS = re.compile(
    r"\b(?:[XYZ][- ]?\d{7}[- ]?[A-Z]|\d{2}\.?\d{3}\.?\d{3}[- ]?[A-Z]|[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]"
    r"|\d{3}-\d{2}-\d{4}|[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,4})?)\b",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"(?<![\w.])\+?\(?\d(?:[ \t.()/-]{0,2}\d){6,18}(?!\w)")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")


def mask(text: str) -> str:
    """Replace e-mail addresses, and phone, card and identity numbers."""
    text = _IDS.sub(ID, _EMAIL.sub(EMAIL, text))
    return _DIGITS.sub(_mask_digits, text)


def _mask_digits(match: re.Match[str]) -> str:
    found = match[0]
    digits = [int(digit) for digit in found if digit.isdecimal()]
    if 13 <= len(digits) <= 19 and _is_card(digits):
        return CARD
    return found if _DATE.fullmatch(found) else PHONE


def _is_card(digits: list[int]) -> bool:
    """Whether the check digit of a card number is right (Luhn)."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
