"""A run's results from the portal's database. Import after Django is set up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Group, User
from django.test import Client

from avatars.models import ProviderAccount
from heygen_portal.people.access import roles
from sessions.lifecycle import events
from sessions.models import SessionEvent, StreamingSession


def create_signed_in_users(count: int, slots: int) -> list[str]:
    """Create end users and a provider account for them.

    Return a login cookie of each.
    """
    ProviderAccount.objects.update(concurrency_limit=slots, is_exclusive=True)
    group, cookies = Group.objects.get(name=roles.END_USER.group), []
    for person in User.objects.bulk_create(User(username=uuid4().hex) for _ in range(count)):
        person.groups.add(group)
        client = Client()
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        cookies.append(client.cookies["sessionid"].value)
    return cookies


def count_sessions(seen: Sequence[str], closed: Mapping[str, float], lasted: Mapping[str, float]) -> dict[str, Any]:
    """Count open sessions and missing records.

    `seen`: IDs of sessions announced to users; `closed`: times when tabs closed silently; `lasted`: provider seconds.
    """
    rows = {str(row.pk): row for row in StreamingSession.objects.all()}
    ended = {pk: row.ended_at.timestamp() for pk, row in rows.items() if row.ended_at}
    return {
        "started": len(rows),
        "open": sum(row.status != "ended" for row in rows.values()),
        "without_reason": sum(not row.end_reason for row in rows.values()),
        "lost": len(set(seen) - rows.keys()),
        "reasons": Counter(row.end_reason for row in rows.values()),
        "seconds_ratio": _seconds_ratio(list(rows.values()), lasted),
        "chains_broken": sum(not _is_chain_intact(row) for row in rows.values()),
        "closed_s": [ended[pk] - at for pk, at in closed.items() if pk in ended],
    }


def _seconds_ratio(rows: Sequence[StreamingSession], lasted: Mapping[str, float]) -> float | None:
    """Return provider seconds beyond the portal's, for sessions the emulator knows.

    A restart forgets them.
    """
    known = [row for row in rows if row.provider_session_id in lasted and row.ended_at]
    ours = sum((row.ended_at - row.created_at).total_seconds() for row in known if row.ended_at)
    return round(sum(lasted[str(row.provider_session_id)] for row in known) / ours, 3) if ours else None


def _is_chain_intact(session: StreamingSession) -> bool:
    previous = ""
    for number, event in enumerate(SessionEvent.objects.filter(session=session).order_by("number"), start=1):
        if (event.number, event.previous_hash, event.hash) != (number, previous, events.digest(event)):
            return False
        previous = event.hash
    return bool(previous)
