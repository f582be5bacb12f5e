"""Limits of texts that people type, in characters as they count them."""

from __future__ import annotations

from math import ceil
from typing import Any

from django import forms
from django.core.validators import MaxLengthValidator, MinLengthValidator
from django.utils.functional import lazy
from django.utils.translation import ngettext

from heygen_portal.runtime.text import graphemes

# One character may have any number of combining marks, so what is stored is bounded in code points as well.
CODE_POINTS_PER_CHARACTER = 5


def length(text: str, max_characters: int) -> int:
    """Return the number of characters that counts against a limit.

    A text with too many code points is longer than the limit, however few characters they form. Its characters are
    not counted, which would take long.
    """
    if len(text) > CODE_POINTS_PER_CHARACTER * max_characters:
        return ceil(len(text) / CODE_POINTS_PER_CHARACTER)
    return graphemes.count(text)


def shortened(text: str, max_characters: int) -> str:
    """Return the beginning of a text that is within a limit."""
    if length(text, max_characters) <= max_characters:
        return text
    text = text[: graphemes.last_boundary(text, CODE_POINTS_PER_CHARACTER * max_characters)]
    return graphemes.first(text, max_characters)


class MaxCharacters(MaxLengthValidator):
    def clean(self, x: Any) -> int:
        return length(x, self.limit_value)


class MinCharacters(MinLengthValidator):
    """A text longer than `max_characters` is not counted: another validator refuses it."""

    def __init__(self, limit_value: int, max_characters: int) -> None:
        super().__init__(limit_value)
        self.max_characters = max_characters

    def clean(self, x: Any) -> int:
        return length(x, self.max_characters)


class LimitedText(forms.CharField):
    """A text field whose limits count characters as people do. static/portal/text-limits.js counts in the same way."""

    def __init__(self, *, min_characters: int = 0, max_characters: int, **options: Any) -> None:
        self.limits = (min_characters, max_characters)
        super().__init__(**options)
        self.validators += [MinCharacters(min_characters, max_characters), MaxCharacters(max_characters)]

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return super().widget_attrs(widget) | attributes(*self.limits)


def attributes(min_characters: int, max_characters: int) -> dict[str, Any]:
    """Return the attributes of a text field from which the page's script takes limits and messages."""
    return {
        "data-min-characters": min_characters,
        "data-max-characters": max_characters,
        "data-too-short": _too_short(min_characters),
        "data-too-long": _too_long(max_characters),
    }


def _short_words(count: int) -> str:
    return ngettext("At least %(count)d character.", "At least %(count)d characters.", count) % {"count": count}


def _long_words(count: int) -> str:
    return ngettext("At most %(count)d character.", "At most %(count)d characters.", count) % {"count": count}


# Fields are made when their form's class is, before the reader's language is known.
_too_short, _too_long = lazy(_short_words, str), lazy(_long_words, str)
