"""The life of a session, and the only writer of `status`.

requested → creating → connecting → live → stopping → ended
               └────────┴──────────┴───────┘  any of them may go to stopping; nothing leaves ended
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from avatars.models import Persona
from heygen_portal.providers.base import ProviderSession
from sessions import events
from sessions.models import EndReason, Status, StreamingSession

TRANSITIONS: dict[str, frozenset[str]] = {
    Status.REQUESTED: frozenset({Status.CREATING, Status.STOPPING}),
    Status.CREATING: frozenset({Status.CONNECTING, Status.STOPPING}),
    Status.CONNECTING: frozenset({Status.LIVE, Status.STOPPING}),
    Status.LIVE: frozenset({Status.STOPPING}),
    Status.STOPPING: frozenset({Status.ENDED}),
    Status.ENDED: frozenset(),
}

CREATION_LIMIT = timedelta(seconds=45)
"""The provider is given 30 s to answer `new`; later, nobody is waiting for the answer any more."""
PICTURE_LIMIT = timedelta(seconds=60)
"""From Start to the first picture. The page tells the person long before."""
STOP_PATIENCE = timedelta(seconds=40)
"""How long whoever asked for the end has, before the worker tries in their place."""
TAB_GRACE = timedelta(seconds=10)
"""From the last tab's leaving to the end: enough for a reload."""
WARNINGS = (timedelta(seconds=60), timedelta(seconds=15))
"""How long before a limit the person is told."""


class IllegalTransition(Exception):
    """A fault of ours: this status can never follow that one."""


def transition(session: StreamingSession, to: Status, **changes: Any) -> bool:
    """Move a session to another status; return whether this caller is the one who moved it.

    The browser, the worker and the provider may all end one session at the same moment. The UPDATE names the
    status we read, so exactly one of them gets True and does the work. `session` is up to date afterwards.
    Raises IllegalTransition for a move that the table does not have.
    """
    if to not in TRANSITIONS[session.status]:
        raise IllegalTransition(f"{session.status} to {to}")
    was = session.status
    with transaction.atomic():
        moved = StreamingSession.objects.filter(pk=session.pk, status=was).update(status=to, **changes)
        session.refresh_from_db(from_queryset=StreamingSession.objects.select_related("account"))
        if not moved:
            return False
        data = {"from": was, "to": to, **({"reason": session.end_reason} if session.end_reason else {})}
        if session.end_detail:
            data["detail"] = session.end_detail
        events.record(session.pk, "status", data=data)
        events.publish(session.pk, events.StatusChanged.of(session))
    return True


def request(persona: Persona, user_id: int) -> StreamingSession:
    """Store a session before anybody outside is called, and move it to creating: it holds its place from here on.

    Raises IntegrityError when the person has an open session.
    """
    now = timezone.now()
    with transaction.atomic():
        session = StreamingSession.objects.create(
            user_id=user_id,
            account=persona.avatar.account,
            persona=persona,
            persona_version=persona.version,
            persona_settings=persona.snapshot(),
            created_at=now,
            active_at=now,
            ends_at=now + persona.duration_limit,
            deadline_at=now + CREATION_LIMIT,
        )
        events.record(session.pk, "requested", data={"persona": persona.slug, "version": persona.version})
        transition(session, Status.CREATING)
    return session


def connect(session: StreamingSession, answer: ProviderSession) -> bool:
    """Note what the provider answered to `new`; return whether the session goes on.

    False: it was stopped while the provider was thinking. The provider's ID is stored either way, so that
    whoever stops it can.
    """
    limit = answer.duration_limit
    known = {
        "provider_session_id": answer.provider_session_id,
        "provider_duration_limit": limit,
        "is_paid": answer.is_paid,
    }
    ends_at = min(session.ends_at, session.created_at + limit) if limit else session.ends_at
    with transaction.atomic():
        if answer.credential:
            events.record(session.pk, "provider_authenticated")
        events.record(session.pk, "provider_created", data={"is_paid": answer.is_paid})
        if transition(session, Status.CONNECTING, ends_at=ends_at, deadline_at=next_look(session, ends_at), **known):
            return True
        StreamingSession.objects.filter(pk=session.pk).update(**known)
        session.refresh_from_db(fields=list(known))
        events.record(session.pk, "provider_answered_late")
        return False


def go_live(session: StreamingSession) -> bool:
    """The first picture was seen."""
    now = timezone.now()
    session.active_at = now
    deadline = next_look(session, session.ends_at, live=True)
    return transition(session, Status.LIVE, live_at=now, active_at=now, deadline_at=deadline)


def begin_stop(session: StreamingSession, reason: EndReason, detail: str = "") -> bool:
    """Ask for the end; return whether this caller is the one who carries it out. Safe to call at any time."""
    while session.status not in (Status.STOPPING, Status.ENDED):
        deadline = timezone.now() + STOP_PATIENCE
        if transition(session, Status.STOPPING, end_reason=reason, end_detail=detail[:300], deadline_at=deadline):
            return True
    return False


def end(session: StreamingSession) -> bool:
    """The provider has confirmed that nothing runs; return whether this caller is the one who noted it."""
    if session.status != Status.STOPPING:
        return False
    return transition(session, Status.ENDED, ended_at=timezone.now(), deadline_at=None)


def next_look(session: StreamingSession, ends_at: datetime, *, live: bool | None = None) -> datetime:
    """Return the next moment somebody must look at a session that goes on: a warning, a limit, the tab's grace."""
    now = timezone.now()
    is_live = session.status == Status.LIVE if live is None else live
    if is_live:
        limits = (ends_at, session.active_at + session.idle_timeout)
        moments = [limit - ahead for limit in limits for ahead in (*WARNINGS, timedelta(0))]
    else:
        moments = [session.created_at + PICTURE_LIMIT, ends_at]
    if session.abandoned_at:
        moments.append(session.abandoned_at + TAB_GRACE)
    return min((moment for moment in moments if moment > now), default=now)
