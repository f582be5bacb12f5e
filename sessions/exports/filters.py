"""Filters of the session list.

An export applies them again to select the rows that the list showed.
"""

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
# Parameters of the list that only order or page its rows.
DISPLAY_PARAMETERS = frozenset({"o", "p", "all", "e"})
# The parameter for whose sessions they are, and its values.
OWNER = "owner"
OWNERS: Mapping[str, Q] = {"guests": Q(guest__isnull=False), "users": Q(guest__isnull=True)}
# The parameter of a search for spoken words. Its value is the number of the search's audit entry.
SPEECH_SEARCH = "said"


class UnknownFilter(Exception):
    """The list has a filter that exports do not know.

    More rows would be exported than the list showed.
    """


def of_query_string(parameters: Mapping[str, str], user_id: int) -> dict[str, str]:
    """Return the filters in the query string of the list. Raises UnknownFilter.

    A search for spoken words is valid only for the person who gave a reason for it.
    """
    filters = {name: value for name, value in parameters.items() if value and name not in DISPLAY_PARAMETERS}
    if SPEECH_SEARCH in filters and own_search(filters[SPEECH_SEARCH], user_id) is None:
        raise UnknownFilter(SPEECH_SEARCH)
    select(filters)
    return filters


def select(filters: Mapping[str, str]) -> QuerySet[StreamingSession]:
    """Return the sessions that the list shows under these filters.

    Raises UnknownFilter.
    """
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
    if name == OWNER and value in OWNERS:
        return OWNERS[value]
    if name not in FILTER_FIELDS:
        raise UnknownFilter(name)
    return Q((name, value))


def record_search(user_id: int, address: str | None, words: str, reason: str) -> AuditEntry:
    """Record a search for spoken words in the audit log.

    Such a search reads parts of conversations.
    """
    return audit_log.record_by(user_id, address, AuditEntry.Kind.SEARCHED, "", words=words, reason=reason)


def own_search(number: str, user_id: int) -> AuditEntry | None:
    """Return the search with this number if this person made it."""
    return _searches().filter(number=number, by=user_id).first() if number.isdecimal() else None


def words_of(search: AuditEntry) -> str:
    return str(search.data["words"])


def sessions_with_words(words: str) -> QuerySet[Utterance, Any]:
    """Return the keys of the sessions with a line that contains all of the words."""
    return speech_search.matching(Utterance.objects.all(), words).order_by().values("session")


def _searches() -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(kind=AuditEntry.Kind.SEARCHED)


def matching(rows: QuerySet[StreamingSession], query: str) -> QuerySet[StreamingSession]:
    """Return the sessions that match a query by user, persona or provider session ID.

    Each word or quoted phrase must match, as in Django's admin search.
    """
    for bit in smart_split(query):
        word = unescape_string_literal(bit) if bit[0] in "\"'" and bit[0] == bit[-1] else bit
        rows = rows.filter(_matches(word))
    return rows


def _matches(word: str) -> Q:
    """Return the condition for one word.

    Users and personas are looked up first: few match, and sessions are indexed by their keys.
    """
    names = Q(provider_session_id=word)
    users = User.objects.filter(username=word) or User.objects.filter(username__folded_exact=word)
    for lookup, found in (("user__in", users), ("persona__in", Persona.objects.filter(name__folded=word))):
        if keys := [row.pk for row in found]:
            names |= Q((lookup, keys))
    return names
