"""Which sessions: the filters of the admin's list, for whoever has to ask again later what the list showed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.text import smart_split, unescape_string_literal

from avatars.models import Persona
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.models import StreamingSession, Utterance
from sessions.speech import search as speech_search

FILTER_FIELDS = frozenset(
    {"status__exact", "end_reason__exact", "purpose__exact", "persona__id__exact", "account__id__exact"}
) | {f"created_at__{part}" for part in ("year", "month", "day", "gte", "lt")}
DISPLAY_PARAMETERS = frozenset({"o", "p", "all", "e"})
"""Parameters of the list that order its rows or turn its pages."""
SPEECH_SEARCH = "said"
"""The parameter that names a search for what was said, by the number of its audit entry."""


class UnknownFilter(Exception):
    """The list can be narrowed down in a way that this does not know: more would be selected than was seen."""


def of_query_string(parameters: Mapping[str, str], user_id: int) -> dict[str, str]:
    """Return the filters that stand in the list's address. Raises UnknownFilter.

    A search for what was said is good for who has given a reason for it, and for nobody else.
    """
    filters = {name: value for name, value in parameters.items() if value and name not in DISPLAY_PARAMETERS}
    if SPEECH_SEARCH in filters and own_search(filters[SPEECH_SEARCH], user_id) is None:
        raise UnknownFilter(SPEECH_SEARCH)
    select(filters)
    return filters


def select(filters: Mapping[str, str]) -> QuerySet[StreamingSession]:
    """Return the sessions that the list shows with these filters. Raises UnknownFilter."""
    rows: QuerySet[StreamingSession] = StreamingSession.objects.all()
    for name, value in filters.items():
        try:
            rows = matching(rows, value) if name == "q" else rows.filter(_condition(name, value))
        except (ValueError, ValidationError) as exc:  # "persona__id__exact=Lucía"
            raise UnknownFilter(name) from exc
    return rows


def _condition(name: str, value: str) -> Q:
    if name == SPEECH_SEARCH:
        search = _searches().get(number=value)
        return Q(pk__in=sessions_with_words(words_of(search)))
    if name not in FILTER_FIELDS:
        raise UnknownFilter(name)
    return Q((name, value))


def record_search(user_id: int, address: str | None, words: str, reason: str) -> AuditEntry:
    """Put on record that somebody looks for sessions by what was said in them: that is reading a part of it."""
    return audit_log.record_by(user_id, address, AuditEntry.Kind.SEARCHED, "", words=words, reason=reason)


def own_search(number: str, user_id: int) -> AuditEntry | None:
    """Return this person's own search, if it is one."""
    return _searches().filter(number=number, by=user_id).first() if number.isdecimal() else None


def words_of(search: AuditEntry) -> str:
    return str(search.data["words"])


def sessions_with_words(words: str) -> QuerySet[Utterance, Any]:
    """Return the keys of the sessions in which the words were said, in one line."""
    return speech_search.holding(Utterance.objects.all(), words).order_by().values("session")


def _searches() -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(kind=AuditEntry.Kind.SEARCHED)


def matching(rows: QuerySet[StreamingSession], query: str) -> QuerySet[StreamingSession]:
    """Return the sessions that a search finds by person, persona or provider's ID.

    Each word, or phrase in quotes, has to be found: as the admin's own search does.
    """
    for bit in smart_split(query):
        word = unescape_string_literal(bit) if bit[0] in "\"'" and bit[0] == bit[-1] else bit
        rows = rows.filter(_matches(word))
    return rows


def _matches(word: str) -> Q:
    """Who and what is called so is looked up first: few are, and sessions are found by their keys at once."""
    names = Q(provider_session_id=word)
    users = User.objects.filter(username=word) or User.objects.filter(username__iexact=word)
    for lookup, found in (("user__in", users), ("persona__in", Persona.objects.filter(name__icontains=word))):
        if keys := [row.pk for row in found]:
            names |= Q((lookup, keys))
    return names
