"""Rooms of our LiveKit server: names and server API calls."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
from django.conf import settings
from django.utils.crypto import salted_hmac
from livekit import api

from heygen_portal.providers.contract.provider import NotSent
from heygen_portal.runtime import background

EMPTY_ROOM_TIMEOUT: Final = timedelta(minutes=5)
"""How long the server keeps a room that no one has entered."""
DEPARTURE_TIMEOUT: Final = timedelta(seconds=60)
"""How long the server keeps a room that all have left: longer than a page reload and its grace period."""
REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=3, connect=2)
T = TypeVar("T")


class LiveKitAway(NotSent):
    """Our LiveKit server did not answer or refused.

    Nothing was requested from the provider.
    """


@dataclass(frozen=True)
class OwnRoom:
    """A room that exists on our LiveKit server."""

    name: str
    created_at: datetime


def is_set_up() -> bool:
    """Whether the settings name a LiveKit server and its keys."""
    return bool(settings.LIVEKIT_URL and settings.LIVEKIT_API_KEY and settings.LIVEKIT_API_SECRET)


def room_prefix() -> str:
    """Return the prefix of this portal's room names.

    Several portals may share a LiveKit server.
    """
    return f"portal-{salted_hmac('heygen_portal.livekit', 'rooms', algorithm='sha256').hexdigest()[:8]}-"


def new_room_name() -> str:
    """Return an unguessable room name."""
    return room_prefix() + secrets.token_hex(16)


async def create_room(room: str) -> None:
    """Create a room if it does not exist.

    Raises LiveKitAway, after REQUEST_TIMEOUT at the latest.
    """
    request = api.CreateRoomRequest(
        name=room,
        empty_timeout=int(EMPTY_ROOM_TIMEOUT.total_seconds()),
        departure_timeout=int(DEPARTURE_TIMEOUT.total_seconds()),
    )
    await _call("make a room", _client().room.create_room(request))


async def delete_room(room: str) -> None:
    """Delete a room and disconnect its participants, if it exists.

    Raises LiveKitAway.
    """
    await _call("delete a room", _client().room.delete_room(api.DeleteRoomRequest(room=room)), ignore_missing=True)


async def remove_participant(room: str, identity: str) -> None:
    """Remove a participant from a room, if present. Raises LiveKitAway."""
    request = api.RoomParticipantIdentity(room=room, identity=identity)
    await _call("remove a participant", _client().room.remove_participant(request), ignore_missing=True)


async def list_own_rooms() -> list[OwnRoom]:
    """Return this portal's rooms on the server. Raises LiveKitAway."""
    answer = await _call("list the rooms", _client().room.list_rooms(api.ListRoomsRequest()))
    assert answer is not None  # a list is never missing
    ours = room_prefix()
    return [
        OwnRoom(room.name, datetime.fromtimestamp(room.creation_time, UTC))
        for room in answer.rooms
        if room.name.startswith(ours)
    ]


async def diagnose() -> str:
    """Make an authenticated call to our server.

    Return the error, or an empty string. Opens its own connection.
    """
    keys = settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET
    try:
        async with api.LiveKitAPI(settings.LIVEKIT_URL, *keys, timeout=REQUEST_TIMEOUT) as client:
            await _call("list the rooms", client.room.list_rooms(api.ListRoomsRequest()))
    except LiveKitAway as exc:
        return str(exc)
    return ""


async def _call(what: str, call: Awaitable[T], *, ignore_missing: bool = False) -> T | None:
    try:
        return await call
    except api.TwirpError as exc:
        if ignore_missing and exc.code == api.TwirpErrorCode.NOT_FOUND:
            return None
        raise LiveKitAway(f"our LiveKit server refused to {what}: {exc.code}") from exc
    except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
        raise LiveKitAway(f"our LiveKit server did not {what}: {type(exc).__name__}") from exc


# Connections belong to the event loop that opened them.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, api.LiveKitAPI] = WeakKeyDictionary()


def _client() -> api.LiveKitAPI:
    if not is_set_up():
        raise LiveKitAway("LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET are not all set")
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = api.LiveKitAPI(
            settings.LIVEKIT_URL, settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET, timeout=REQUEST_TIMEOUT
        )
        background.on_shutdown(_close_on_shutdown)
    return _clients[loop]


async def _close_on_shutdown() -> None:
    """Close the connections after the background tasks, which may need them."""
    await background.finish()
    await close()


async def close() -> None:
    """Close this event loop's connections."""
    if client := _clients.pop(asyncio.get_running_loop(), None):
        await client.aclose()
