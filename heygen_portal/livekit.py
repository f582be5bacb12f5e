"""Our own LiveKit: who may enter which room, what the server is asked, and whether a webhook is its own.

A room's name is random below a prefix of this portal's; identities say what somebody is there, never who. No key, name
or text of a person is in a room's name, an identity or any metadata.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
import jwt
from django.conf import settings
from django.utils.crypto import salted_hmac
from google.protobuf.json_format import Parse, ParseError
from livekit import api

from heygen_portal import detached
from heygen_portal.providers.base import BroughtRoom, NotSent, RoomAccess

AVATAR: Final = "heygen"
"""The identity by which published clients know the avatar."""
PERSON: Final = "person"
"""One in each room: whoever joins with it again takes their own place."""
OBSERVER: Final = "observer"

PERSON_TOKEN: Final = timedelta(minutes=10)
"""For entering; who is inside stays. A rejoin gets another."""
EMPTY_ROOM: Final = timedelta(minutes=5)
"""How long the server keeps a room that nobody has entered."""
DEPARTURE: Final = timedelta(seconds=60)
"""How long it keeps one that everybody has left: longer than a reload and the grace after it."""
PATIENCE: Final = aiohttp.ClientTimeout(total=3, connect=2)
WEBHOOK_LIFE: Final = timedelta(minutes=10)
"""Older ones are not believed: the server gives up its own retries much sooner."""

T = TypeVar("T")


class LiveKitAway(NotSent):
    """Our LiveKit server did not answer, or not usefully; the provider was not asked for anything."""


class NotOurs(Exception):
    """A webhook that our LiveKit server did not send, or not now."""


@dataclass(frozen=True)
class OwnRoom:
    """A room that our LiveKit server holds."""

    name: str
    made_at: datetime


def is_set_up() -> bool:
    """Whether the settings name a LiveKit server and its keys."""
    return bool(settings.LIVEKIT_URL and settings.LIVEKIT_API_KEY and settings.LIVEKIT_API_SECRET)


def prefix() -> str:
    """What the names of this portal's rooms begin with: several portals may share a LiveKit server."""
    return f"portal-{salted_hmac('heygen_portal.livekit', 'rooms', algorithm='sha256').hexdigest()[:8]}-"


def new_name() -> str:
    """Return a name for a room, which nobody can guess."""
    return prefix() + secrets.token_hex(16)


def for_avatar(room: str, life: timedelta) -> BroughtRoom:
    """What the provider needs to bring the avatar into a room."""
    grants = api.VideoGrants(
        room_join=True, room=room, can_publish=True, can_publish_data=True, can_subscribe=True, room_admin=False
    )
    return BroughtRoom(settings.LIVEKIT_PUBLIC_URL, room, _token(AVATAR, grants, life))


def for_person(room: str) -> RoomAccess:
    """Let a person see, hear, speak and send data; nothing else may be published."""
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        can_subscribe=True,
        can_publish=True,
        can_publish_sources=["microphone"],
        can_publish_data=True,
    )
    return RoomAccess(settings.LIVEKIT_PUBLIC_URL, _token(PERSON, grants, PERSON_TOKEN), room)


def for_observer(room: str, seat: str) -> RoomAccess:
    """Let somebody see and hear whom nobody in the room sees or hears; webhooks name the seat."""
    grants = api.VideoGrants(
        room_join=True, room=room, can_subscribe=True, can_publish=False, can_publish_data=False, hidden=True
    )
    return RoomAccess(settings.LIVEKIT_PUBLIC_URL, _token(f"{OBSERVER}-{seat}", grants, PERSON_TOKEN), room)


def _token(identity: str, grants: api.VideoGrants, life: timedelta) -> str:
    token = api.AccessToken(settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET)
    made: str = token.with_identity(identity).with_ttl(life).with_grants(grants).to_jwt()
    return made


# What the server is asked


async def make_room(room: str) -> None:
    """See to it that a room is there; safe to repeat. Raises LiveKitAway, in bounded time."""
    wanted = api.CreateRoomRequest(
        name=room,
        empty_timeout=int(EMPTY_ROOM.total_seconds()),
        departure_timeout=int(DEPARTURE.total_seconds()),
    )
    await _asked("make a room", _client().room.create_room(wanted))


async def delete_room(room: str) -> None:
    """Throw everybody out and forget the room; one that is not there is no error. Raises LiveKitAway."""
    await _asked("delete a room", _client().room.delete_room(api.DeleteRoomRequest(room=room)), missing_is_fine=True)


async def our_rooms() -> list[OwnRoom]:
    """Return the rooms of this portal that the server holds. Raises LiveKitAway."""
    answer = await _asked("list the rooms", _client().room.list_rooms(api.ListRoomsRequest()))
    assert answer is not None  # a list is never missing
    ours = prefix()
    return [
        OwnRoom(room.name, datetime.fromtimestamp(room.creation_time, UTC))
        for room in answer.rooms
        if room.name.startswith(ours)
    ]


async def trouble() -> str:
    """Ask our server for something that its key opens; return what is wrong, or nothing. Connections of its own."""
    keys = settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET
    try:
        async with api.LiveKitAPI(settings.LIVEKIT_URL, *keys, timeout=PATIENCE) as client:
            await _asked("list the rooms", client.room.list_rooms(api.ListRoomsRequest()))
    except LiveKitAway as exc:
        return str(exc)
    return ""


async def _asked(what: str, call: Awaitable[T], *, missing_is_fine: bool = False) -> T | None:
    try:
        return await call
    except api.TwirpError as exc:
        if missing_is_fine and exc.code == api.TwirpErrorCode.NOT_FOUND:
            return None
        raise LiveKitAway(f"our LiveKit server would not {what}: {exc.code}") from exc
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
            settings.LIVEKIT_URL, settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET, timeout=PATIENCE
        )
        detached.before_shutdown(_close_last)
    return _clients[loop]


async def _close_last() -> None:
    """The server ends; what is still under way may need the connections."""
    await detached.finish()
    await close()


async def close() -> None:
    """Close this event loop's connections, for a loop that ends with its job."""
    if client := _clients.pop(asyncio.get_running_loop(), None):
        await client.aclose()


# What the server tells us


@dataclass(frozen=True)
class Told:
    """One webhook, checked. `sid` tells one visit of a participant from the next; `track` is its kind."""

    id: str = field(repr=False)
    kind: str
    room: str
    identity: str
    sid: str
    track: str
    at: datetime


def read_webhook(body: bytes, authorization: str) -> Told:
    """Return what a webhook says. Raises NotOurs unless our own server signed exactly this body, just now."""
    if not is_set_up():
        raise NotOurs("no LiveKit server is set up")
    verifier = api.TokenVerifier(settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET)
    try:
        claims = verifier.verify(authorization.removeprefix("Bearer "))
        signed = base64.b64decode(claims.sha256 or "", validate=True)
        if not hmac.compare_digest(signed, hashlib.sha256(body).digest()):
            raise NotOurs("the body is not the one that was signed")
        event = Parse(body, api.WebhookEvent(), ignore_unknown_fields=True)
        at = datetime.fromtimestamp(event.created_at, UTC)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, OverflowError, OSError, ParseError) as exc:
        raise NotOurs(type(exc).__name__) from exc
    if not event.id or abs(datetime.now(UTC) - at) > WEBHOOK_LIFE:
        raise NotOurs("it is not of now")
    return Told(
        id=event.id,
        kind=event.event,
        room=event.room.name,
        identity=event.participant.identity,
        sid=event.participant.sid,
        track=api.TrackType.Name(event.track.type).lower() if event.HasField("track") else "",
        at=at,
    )
