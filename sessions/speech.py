"""Speech that is stored: found by its words. Texts themselves are read as `.text` of their rows."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

from sessions import sealing
from sessions.models import SpokenWord, Utterance
from sessions.models.speech import words_of


def holding(lines: QuerySet[Utterance], query: str) -> QuerySet[Utterance]:
    """Return those of the lines in which all words of the query were said, whatever their accents and case.

    The first letters of a word will do, from three on.
    """
    marks = sealing.marks(sealing.words(query))
    if not marks:
        return lines.none()
    for mark in marks:
        # From the words to the lines: there are few of either, and many lines.
        lines = lines.filter(pk__in=SpokenWord.objects.filter(mark=mark).values("utterance"))
    return lines


def index(lines: Iterable[Utterance]) -> None:
    """Make lines that were stored with bulk_create findable; those stored one by one are already."""
    SpokenWord.objects.bulk_create([word for line in lines for word in words_of(line)], ignore_conflicts=True)
