"""When a connecting session must have shown its first frame.

No frame can appear while the page is hidden or the browser waits for a tap. The page reports when that begins and ends,
and the time between is not counted. As any page can claim it, it postpones the end only within the idle limit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sessions.lifecycle.event_kinds import EventKind
from sessions.models import SessionEvent, StreamingSession

# From Start to the first frame, not counting the time in which none can appear. The page informs the user much sooner.
TIMEOUT = timedelta(seconds=60)


@dataclass(frozen=True)
class Deadline:
    """When the session ends without a first frame.

    Also whether its page reports that none can appear.
    """

    at: datetime
    is_waiting: bool = False


def deadline(session: StreamingSession, now: datetime) -> Deadline:
    return deadlines([session], now)[session.pk]


def deadlines(sessions: Collection[StreamingSession], now: datetime) -> dict[UUID, Deadline]:
    """Return the deadlines of connecting sessions, with one query at most."""
    # Until the time-out, reports change nothing: the session is looked at again then.
    late = [session.pk for session in sessions if session.created_at + TIMEOUT <= now]
    reports: dict[UUID, list[tuple[str, datetime]]] = defaultdict(list)
    if late:
        kinds = (EventKind.WAITING, EventKind.WAITING_OVER)
        rows = SessionEvent.objects.filter(session__in=late, source=SessionEvent.Source.BROWSER, kind__in=kinds)
        for session_id, kind, at in rows.order_by("session", "number").values_list("session_id", "kind", "at"):
            reports[session_id].append((kind, at))
    return {session.pk: _deadline(session, reports[session.pk], now) for session in sessions}


def latest(session: StreamingSession) -> datetime:
    """Return the latest moment to which reports can postpone the end."""
    return session.created_at + max(TIMEOUT, session.idle_timeout)


def _deadline(session: StreamingSession, reports: Iterable[tuple[str, datetime]], now: datetime) -> Deadline:
    waited = timedelta()
    since: datetime | None = None
    for kind, reported_at in reports:
        at = min(max(reported_at, session.created_at), now)
        if kind == EventKind.WAITING and since is None:
            since = at
        elif kind == EventKind.WAITING_OVER and since is not None:
            waited += max(at - since, timedelta())
            since = None
    if since is not None:
        return Deadline(latest(session), is_waiting=True)
    return Deadline(min(session.created_at + TIMEOUT + waited, latest(session)))
