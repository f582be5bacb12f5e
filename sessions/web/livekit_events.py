"""Record webhook events of our own LiveKit server, and act on them.

Their source is `livekit`. Webhooks may arrive late, repeatedly and out of order. What follows therefore depends on
which visits have begun and ended, and not on which event came last.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from heygen_portal import livekit
from heygen_portal.livekit import Webhook
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.in_thread import in_thread
from sessions.actions import provider_status
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry, Source
from sessions.models import SessionEvent, Status, StreamingSession
from sessions.presence import observers, tabs

JOINED, LEFT, FINISHED = EventKind.PARTICIPANT_JOINED, EventKind.PARTICIPANT_LEFT, EventKind.ROOM_FINISHED
KINDS = (JOINED, LEFT, EventKind.TRACK_PUBLISHED, FINISHED)


async def handle(webhook: Webhook) -> None:
    """Record an event of a session's room and act on it."""
    if webhook.kind not in KINDS:
        return
    session_id = await in_thread(_record)(webhook)
    if session_id and webhook.kind == JOINED and _role_of(webhook.identity) == livekit.OBSERVER_IDENTITY:
        await observers.check_access(session_id)
    avatar_is_gone = webhook.kind == FINISHED or (webhook.kind == LEFT and webhook.identity == livekit.AVATAR_IDENTITY)
    if session_id and avatar_is_gone:
        await provider_status.end_if_gone(session_id)


def _record(webhook: Webhook) -> UUID | None:
    with transaction.atomic():
        rows = StreamingSession.objects.select_for_update().exclude(room="")
        session = rows.filter(room=webhook.room).first()
        if session is None:
            return None  # a prepared room without a session, or another program's room
        who = _role_of(webhook.identity)
        seat = (
            webhook.identity.removeprefix(f"{livekit.OBSERVER_IDENTITY}-") if who == livekit.OBSERVER_IDENTITY else ""
        )
        data = {"who": who, "sid": webhook.sid, "kind": webhook.track, "seat": seat}
        details = {name: value for name, value in data.items() if value}
        is_over = session.status == Status.ENDED
        events.append(session.pk, Entry(webhook.kind, details, Source.LIVEKIT), is_over=is_over)
        if who == livekit.OBSERVER_IDENTITY and not is_over:
            observers.publish_state(session.pk)
        if webhook.kind == FINISHED or (webhook.kind in (JOINED, LEFT) and who == livekit.PERSON_IDENTITY):
            if _is_person_in_room(session):
                tabs.confirm_presence(session.pk)
            else:
                tabs.record_left_room(session)
    return session.pk


def _role_of(identity: str) -> str:
    """Return a participant's role, or an empty string for an event of the room."""
    names = {livekit.AVATAR_IDENTITY: "avatar", livekit.PERSON_IDENTITY: livekit.PERSON_IDENTITY, "": ""}
    if identity.startswith(livekit.OBSERVER_IDENTITY):
        return livekit.OBSERVER_IDENTITY
    return names.get(identity, "other")


def _is_person_in_room(session: StreamingSession) -> bool:
    """Return whether a visit of the user has begun and not ended.

    A visit ends when the user leaves or the room is closed.
    """
    rows = SessionEvent.objects.filter(session=session, source=Source.LIVEKIT, kind__in=(JOINED, LEFT, FINISHED))
    begun: set[str] = set()
    ended: set[str] = set()
    for kind, data in rows.order_by("number").values_list("kind", "data"):
        if kind == FINISHED:
            ended |= begun
        elif data.get("who") == livekit.PERSON_IDENTITY:
            (begun if kind == JOINED else ended).add(stored_json.text(data, "sid"))
    return bool(begun - ended)
