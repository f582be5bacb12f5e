"""A user's login sessions on all devices."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone

ROWS_PER_PAGE = 1_000


def sessions_of(user_id: int) -> Iterator[Session]:
    """Yield a user's login sessions.

    Rows do not name the user, so all sessions are read, page by page.
    """
    rows = Session.objects.filter(expire_date__gt=timezone.now()).order_by("pk")
    page: list[Session] = []
    while page := list((rows.filter(pk__gt=page[-1].pk) if page else rows)[:ROWS_PER_PAGE]):
        yield from (session for session in page if session.get_decoded().get(SESSION_KEY) == str(user_id))


def end_all(user_id: int, except_key: str | None = None) -> int:
    """End a user's login sessions except the one with `except_key`.

    Return how many ended.

    Open sockets close at their next access check. A request in progress cannot restore a deleted session.
    """
    keys = [session.session_key for session in sessions_of(user_id) if session.session_key != except_key]
    for key in keys:
        Session.objects.filter(pk=key).delete()
    return len(keys)
