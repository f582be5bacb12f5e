"""Rooms on our own LiveKit: made before a session needs one, handed out, and deleted when nobody does any more.

The server's webhooks come in by `room_events`.
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
from sessions import errors
from sessions.lifecycle import coverage, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import Status, StreamingSession
from sessions.presence import observers, tabs

logger = logging.getLogger(__name__)

PREPARED_FOR = livekit.EMPTY_ROOM_TIMEOUT
"""How long a room waits for its session."""
AVATAR_MARGIN = timedelta(minutes=5)
"""How much longer than its session an avatar may come back into the room."""


async def prepare() -> RoomAccess:
    """Make a room for a session that may never come. Nothing is asked of a provider. Raises LiveKitAway."""
    name = livekit.new_room_name()
    await livekit.create_room(name)
    return livekit.for_person(name)


async def take(session: StreamingSession, prepared: str) -> OwnRoom:
    """Give a session its room, the prepared one if there is one; return how the avatar enters it.

    Raises LiveKitAway, quickly: the provider would open, and charge for, a session that nobody can see.
    """
    session.room = prepared or livekit.new_room_name()
    await livekit.create_room(session.room)  # a prepared one may have been dropped meanwhile
    await in_thread(_note_room)(session, is_prepared=bool(prepared))
    return livekit.for_avatar(session.room, session.ends_at - timezone.now() + AVATAR_MARGIN)


def _note_room(session: StreamingSession, *, is_prepared: bool) -> None:
    StreamingSession.objects.filter(pk=session.pk).update(room=session.room)
    stated = coverage.state(coverage.SESSION, session, "room")
    events.record(session.pk, Entry(EventKind.ROOM_MADE, {"prepared": is_prepared} | stated))


async def access_again(session_id: UUID) -> RoomAccess:
    """Let the person of a running session into its room again. Raises RejoinRefused where the room is not ours.

    Tokens open no room, so one that the server has lost in a restart is made again first.
    """
    room = await in_thread(_room_of_running)(session_id, is_noted=True)
    try:
        await livekit.create_room(room)
    except LiveKitAway as exc:  # the browser finds out, and says so
        logger.warning("room %s could not be made again: %s", room, exc)
    try:
        await in_thread(_room_of_running)(session_id)
    except errors.RejoinRefused:  # it ended meanwhile, and its room with it
        await drop(room)
        raise
    return livekit.for_person(room)


def _room_of_running(session_id: UUID, *, is_noted: bool = False) -> str:
    rows = StreamingSession.objects.filter(pk=session_id, status__in=(Status.CONNECTING, Status.LIVE))
    session = rows.exclude(room="").only("room").first()
    if session is None:
        raise errors.RejoinRefused
    if is_noted:
        events.record(session.pk, Entry(EventKind.ROOM_ACCESS_RENEWED))
        tabs.still_here(session.pk)
    return session.room


def let_observe(session_id: UUID, user_id: int | None, address: str | None = None, *, login_key: str) -> RoomAccess:
    """Let one of the team see and hear a running session; who looked, and when, is recorded and the person told first.

    Raises NotLive where nothing runs in a room of ours.
    """
    rows = StreamingSession.objects.filter(pk=session_id, status__in=(Status.CONNECTING, Status.LIVE))
    session = rows.exclude(room="").only("room").first()
    if session is None:
        raise errors.NotLive
    return livekit.for_observer(session.room, observers.hand_out(session.pk, user_id, address, login_key))


async def drop(room: str) -> None:
    """Delete a room, if it is one of ours; if that cannot be done now, `clean_up` does it later."""
    if not room:
        return
    try:
        await livekit.delete_room(room)
    except LiveKitAway as exc:
        logger.warning("room %s was not deleted, will be tried again: %s", room, exc)


async def clean_up() -> None:
    """Delete the rooms of ours that no open session uses and that wait for none. Raises LiveKitAway."""
    held = await livekit.list_own_rooms()
    settled = timezone.now() - 2 * PREPARED_FOR  # one may have been taken in its last moment
    used, over = await in_thread(_sort)([room.name for room in held])
    for room in held:
        if room.name in over or (room.name not in used and room.created_at < settled):
            logger.warning("deleting room %s: nobody uses it", room.name)
            await drop(room.name)


def _sort(names: list[str]) -> tuple[set[str], set[str]]:
    """Of these rooms, return those that an open session uses, and those whose session is over."""
    rows = StreamingSession.objects.filter(room__in=names).values_list("room", "status")
    over = {room for room, status in rows if status == Status.ENDED}
    return {room for room, _ in rows} - over, over
