"""Mask personal data in what users write before it leaves for a model."""

from __future__ import annotations

import re

EMAIL, PHONE, CARD, ID = "[e-mail]", "[phone]", "[card]", "[ID]"
_PART = r"[^\s@<>()\[\],;:\"']"
_EMAIL = re.compile(rf"(?<!{_PART}){_PART}+@{_PART}+\.[^\W\d_]{{2,}}")
# Spanish DNI and NIE, Italian codice fiscale, US social security number, IBAN.
_IDS = re.compile(
    r"\b(?:[XYZ][- ]?\d{7}[- ]?[A-Z]|\d{2}\.?\d{3}\.?\d{3}[- ]?[A-Z]|[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]"
    r"|\d{3}-\d{2}-\d{4}|[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,4})?)\b",
    re.IGNORECASE,
)
_SEPARATORS = " \t.()/\u00a0\u2010\u2011\u2012\u2013\u2014\u2015\u2212-"
# As many digits as there are, so that each one is read once.
_DIGITS = re.compile(rf"(?<![\w.])\+?\(?\d(?:[{_SEPARATORS}]{{0,2}}\d)*+\w*")
# A card's groups may be far apart. Ranges of years are, too, so only its check digit tells.
_CARD = re.compile(rf"(?<![\w.])\d(?:[{_SEPARATORS}]{{0,3}}\d){{12,18}}(?!\w)")
_MIN_DIGITS, _MIN_CARD_DIGITS, _MAX_CARD_DIGITS = 7, 13, 19
# What has as many digits and is no number of a person: dates, ranges of years, amounts.
_OTHERS = re.compile(
    r"(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|(?:19|20)\d\d ?[/–-] ?(?:19|20)\d\d|\d{1,3}(?:\.\d{3})+)(?!\d|[./-]\d)"
)
_LOCAL_NUMBER = re.compile(r"[(+06-9]")  # a short number that begins otherwise may be that of an order
_MIN_LONG_DIGITS = 9


def mask(text: str) -> str:
    """Replace e-mail addresses, and phone, card and identity numbers."""
    text = _IDS.sub(ID, _EMAIL.sub(EMAIL, text))
    text = _CARD.sub(lambda match: CARD if _is_card(match[0]) else match[0], text)
    return _DIGITS.sub(_mask_digits, text)


def _mask_digits(match: re.Match[str]) -> str:
    found, rest = match[0], ""
    if not found[-1].isdecimal():  # its last digits belong to a word
        numbers = found[: max(map(found.rfind, _SEPARATORS)) + 1].rstrip(_SEPARATORS)
        found, rest = numbers, found[len(numbers) :]
    if other := _OTHERS.match(found):
        left = found[other.end() :]
        return other[0] + (_DIGITS.sub(_mask_digits, left) if left else "") + rest
    count = sum(sign.isdecimal() for sign in found)
    if count < _MIN_DIGITS or (count < _MIN_LONG_DIGITS and not _LOCAL_NUMBER.match(found)):
        return found + rest
    if count > _MAX_CARD_DIGITS:
        return ID + rest
    return (CARD if _is_card(found) else PHONE) + rest


def _is_card(text: str) -> bool:
    """Whether a text has the digits of a card number, with the right check digit (Luhn)."""
    digits = [int(sign) for sign in text if sign.isdecimal()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return _MIN_CARD_DIGITS <= len(digits) <= _MAX_CARD_DIGITS and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
