"""Which sessions: the filters of the admin's list, for whoever has to ask again later what the list showed."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.text import smart_split, unescape_string_literal

from avatars.models import Persona
from sessions import speech
from sessions.models import StreamingSession, Utterance

FIELDS = frozenset(
    {"status__exact", "end_reason__exact", "purpose__exact", "persona__id__exact", "account__id__exact"}
) | {f"created_at__{part}" for part in ("year", "month", "day", "gte", "lt")}
WORDLESS = frozenset({"o", "p", "all", "e"})
"""Parameters of the list that order its rows or turn its pages."""


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
    said = speech.holding(Utterance.objects.all(), query).order_by().values("session")
    # One set of both: "this or that one's lines" would have each session of a long history looked at.
    return rows.filter(pk__in=named(StreamingSession.objects.order_by(), query).values("pk").union(said))


def named(rows: QuerySet[StreamingSession], query: str) -> QuerySet[StreamingSession]:
    """Return the sessions that a search finds by person, persona or provider's ID.

    Each word, or phrase in quotes, has to be found: as the admin's own search does.
    """
    for bit in smart_split(query):
        word = unescape_string_literal(bit) if bit[0] in "\"'" and bit[0] == bit[-1] else bit
        rows = rows.filter(_names(word))
    return rows


def _names(word: str) -> Q:
    """Who and what is called so is looked up first: few are, and sessions are found by their keys at once."""
    names = Q(provider_session_id=word)
    users = User.objects.filter(username=word) or User.objects.filter(username__iexact=word)
    for lookup, found in (("user__in", users), ("persona__in", Persona.objects.filter(name__icontains=word))):
        if keys := [row.pk for row in found]:
            names |= Q((lookup, keys))
    return names
