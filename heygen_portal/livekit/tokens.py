"""Tokens that let people, avatars and observers into rooms of our LiveKit server."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from livekit import api

from heygen_portal.providers.contract.provider import OwnRoom, RoomAccess

AVATAR_IDENTITY: Final = "heygen"
"""The identity by which published clients know the avatar."""
PERSON_IDENTITY: Final = "person"
"""One in each room: whoever joins with it again takes their own place."""
OBSERVER_IDENTITY: Final = "observer"
PERSON_TOKEN_LIFETIME: Final = timedelta(minutes=10)
"""For entering; who is inside stays. A rejoin gets another."""
OBSERVER_TOKEN_LIFETIME: Final = timedelta(seconds=60)
"""For entering once: an observer's access is checked again while they are inside."""
RENEWED_TOKEN_LIFETIME: Final = timedelta(minutes=10)
"""LiveKit itself hands those inside a new token from time to time, good for so long."""


def for_avatar(room: str, lifetime: timedelta) -> OwnRoom:
    """What the provider needs to bring the avatar into a room."""
    grants = api.VideoGrants(
        room_join=True, room=room, can_publish=True, can_publish_data=True, can_subscribe=True, room_admin=False
    )
    return OwnRoom(settings.LIVEKIT_PUBLIC_URL, room, _token(AVATAR_IDENTITY, grants, lifetime))


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
    return RoomAccess(settings.LIVEKIT_PUBLIC_URL, _token(PERSON_IDENTITY, grants, PERSON_TOKEN_LIFETIME), room)


def for_observer(room: str, seat: str) -> RoomAccess:
    """Let somebody see and hear whom nobody in the room sees or hears; webhooks name the seat."""
    grants = api.VideoGrants(
        room_join=True, room=room, can_subscribe=True, can_publish=False, can_publish_data=False, hidden=True
    )
    return RoomAccess(
        settings.LIVEKIT_PUBLIC_URL, _token(f"{OBSERVER_IDENTITY}-{seat}", grants, OBSERVER_TOKEN_LIFETIME), room
    )


def _token(identity: str, grants: api.VideoGrants, lifetime: timedelta) -> str:
    token = api.AccessToken(settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET)
    made: str = token.with_identity(identity).with_ttl(lifetime).with_grants(grants).to_jwt()
    return made
