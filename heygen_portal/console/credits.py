"""Amounts of credits as text: one rule for rounding on every page."""

from __future__ import annotations

from decimal import Decimal

from django.template.defaultfilters import floatformat


def rounded_credits(amount: Decimal | None) -> str:
    """Return an amount with two decimals, half a hundredth rounded up; empty for None.

    Django's `number_format` would cut off the other decimals instead.
    """
    return "" if amount is None else floatformat(amount, 2)
