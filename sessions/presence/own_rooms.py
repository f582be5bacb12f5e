"""Rooms on our own LiveKit: create, give access, and delete when unused.

`sessions.web.livekit_events` handles the server's webhooks.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from heygen_portal import livekit
from heygen_portal.livekit import LiveKitAway
from heygen_portal.providers.contract.provider import OwnRoom, RoomAccess
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.trail import statements
from sessions import errors
from sessions.lifecycle import coverage, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import Status, StreamingSession
from sessions.presence import observers, tabs

logger = logging.getLogger(__name__)

PREPARED_ROOM_LIFETIME = livekit.EMPTY_ROOM_TIMEOUT
# How much longer than its session an avatar may rejoin the room.
AVATAR_MARGIN = timedelta(minutes=5)


async def prepare() -> RoomAccess:
    """Create a room for a session that may never start. No provider is called.

    Raises LiveKitAway.
    """
    name = livekit.new_room_name()
    await livekit.create_room(name)
    return livekit.for_person(name)


async def assign(session: StreamingSession, prepared: str) -> OwnRoom:
    """Assign a room to a session and return the avatar's access to it.

    It is the prepared room if there is one. Raises LiveKitAway without delay, because the provider would otherwise
    charge for a session that cannot be seen.
    """
    session.room = prepared or livekit.new_room_name()
    await livekit.create_room(session.room)  # the prepared one may have been deleted meanwhile
    await in_thread(_record_room)(session, is_prepared=bool(prepared))
    return livekit.for_avatar(session.room, session.ends_at - timezone.now() + AVATAR_MARGIN)


def _record_room(session: StreamingSession, *, is_prepared: bool) -> None:
    StreamingSession.objects.filter(pk=session.pk).update(room=session.room)
    stated = statements.state(coverage.SESSION, session, "room")
    events.record(session.pk, Entry(EventKind.ROOM_MADE, {"prepared": is_prepared} | stated))


async def renew_access(session_id: UUID) -> RoomAccess:
    """Return new access for the user of a running session.

    Raises RejoinRefused if the room is not ours. A token does not create a room, so a room that the server lost in
    a restart is created again first.
    """
    room = await in_thread(_room_of_running)(session_id, is_recorded=True)
    try:
        await livekit.create_room(room)
    except LiveKitAway as exc:  # the browser notices and reports it
        logger.warning("room %s could not be recreated: %s", room, exc)
    try:
        await in_thread(_room_of_running)(session_id)
    except errors.RejoinRefused:  # the session ended meanwhile, and its room was deleted
        await delete(room)
        raise
    return livekit.for_person(room)


def _room_of_running(session_id: UUID, *, is_recorded: bool = False) -> str:
    rows = StreamingSession.objects.filter(pk=session_id, status__in=(Status.CONNECTING, Status.LIVE))
    session = rows.exclude(room="").only("room").first()
    if session is None:
        raise errors.RejoinRefused
    if is_recorded:
        events.record(session.pk, Entry(EventKind.ROOM_ACCESS_RENEWED))
        tabs.confirm_presence(session.pk)
    return session.room


def admit_observer(session_id: UUID, user_id: int | None, address: str | None = None, *, login_key: str) -> RoomAccess:
    """Return access for a hidden, subscribe-only observer.

    It is recorded, and the user's page informed, first. Raises NotLive if no session runs in one of our rooms.
    """
    rows = StreamingSession.objects.filter(pk=session_id, status__in=(Status.CONNECTING, Status.LIVE))
    session = rows.exclude(room="").only("room").first()
    if session is None:
        raise errors.NotLive
    return livekit.for_observer(session.room, observers.issue_seat(session.pk, user_id, address, login_key))


async def delete(room: str) -> None:
    """Delete a room if its name is not empty.

    If LiveKit is away, `delete_unused` does it later.
    """
    if not room:
        return
    try:
        await livekit.delete_room(room)
    except LiveKitAway as exc:
        logger.warning("room %s was not deleted, will be retried: %s", room, exc)


async def delete_unused() -> None:
    """Delete our rooms that no open session uses and that are not prepared for one.

    Raises LiveKitAway.
    """
    held = await livekit.list_own_rooms()
    settled = timezone.now() - 2 * PREPARED_ROOM_LIFETIME  # a room may be assigned in its last moment
    used, ended = await in_thread(_used_and_ended)([room.name for room in held])
    for room in held:
        if room.name in ended or (room.name not in used and room.created_at < settled):
            logger.warning("deleting unused room %s", room.name)
            await delete(room.name)


def _used_and_ended(names: list[str]) -> tuple[set[str], set[str]]:
    """Return which of these rooms open sessions use, and which have ended."""
    rows = StreamingSession.objects.filter(room__in=names).values_list("room", "status")
    ended = {room for room, status in rows if status == Status.ENDED}
    return {room for room, _ in rows} - ended, ended
