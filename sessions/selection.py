"""Which sessions: the filters of the admin's list, for whoever has to ask again later what the list showed."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.text import smart_split, unescape_string_literal

from sessions import speech
from sessions.models import StreamingSession, Utterance

FIELDS = frozenset({"status__exact", "end_reason__exact", "persona__id__exact", "account__id__exact"}) | {
    f"created_at__{part}" for part in ("year", "month", "day", "gte", "lt")
}
WORDLESS = frozenset({"o", "p", "all", "e"})
"""Parameters of the list that order its rows or turn its pages."""
SEARCHED = ("user__username__iexact", "provider_session_id__exact", "persona__name__icontains")


class UnknownFilter(Exception):
    """The list can be narrowed down in a way that this does not know: more would be selected than was seen."""


def of_address(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the filters that stand in the list's address. Raises UnknownFilter."""
    filters = {name: value for name, value in parameters.items() if value and name not in WORDLESS}
    select(filters)
    return filters


def select(filters: Mapping[str, str]) -> QuerySet[StreamingSession]:
    """Return the sessions that the list shows with these filters. Raises UnknownFilter."""
    rows: QuerySet[StreamingSession] = StreamingSession.objects.all()
    for name, value in filters.items():
        try:
            rows = searched(rows, value) if name == "q" else rows.filter(_condition(name, value))
        except (ValueError, ValidationError) as exc:  # "persona__id__exact=Lucía"
            raise UnknownFilter(name) from exc
    return rows


def _condition(name: str, value: str) -> Q:
    if name not in FIELDS:
        raise UnknownFilter(name)
    return Q((name, value))


def searched(rows: QuerySet[StreamingSession], query: str) -> QuerySet[StreamingSession]:
    """Return the sessions that a search finds: by person, persona or provider's ID, or by what was said in one line.

    For who may read what was said, as it tells that it was.
    """
    said = speech.holding(Utterance.objects.all(), query).values("session")
    return rows.filter(_by_name(query) | Q(pk__in=said))


def _by_name(query: str) -> Q:
    """Each word, or phrase in quotes, has to be found: as the admin's own search does."""
    everywhere = Q()
    for bit in smart_split(query):
        word = unescape_string_literal(bit) if bit[0] in "\"'" and bit[0] == bit[-1] else bit
        anywhere = Q()
        for lookup in SEARCHED:
            anywhere |= Q((lookup, word))
        everywhere &= anywhere
    return everywhere
