"""Access tokens for rooms of our LiveKit server."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from livekit import api

from heygen_portal.providers.contract.provider import OwnRoom, RoomAccess

AVATAR_IDENTITY: Final = "heygen"
"""The avatar's identity, which published clients expect."""
PERSON_IDENTITY: Final = "person"
"""The user's identity, one per room. Joining again replaces the earlier connection."""
OBSERVER_IDENTITY: Final = "observer"
PERSON_TOKEN_LIFETIME: Final = timedelta(minutes=10)
"""Limits joining, not staying. Each rejoin gets a new token."""
OBSERVER_TOKEN_LIFETIME: Final = timedelta(seconds=60)
"""Limits joining. Access of observers in the room is checked repeatedly."""
RENEWED_TOKEN_LIFETIME: Final = timedelta(minutes=10)
"""Lifetime of the tokens that LiveKit itself issues to participants to refresh theirs."""


def for_avatar(room: str, lifetime: timedelta) -> OwnRoom:
    """Return what the provider needs to bring the avatar into a room."""
    grants = api.VideoGrants(
        room_join=True, room=room, can_publish=True, can_publish_data=True, can_subscribe=True, room_admin=False
    )
    return OwnRoom(settings.LIVEKIT_PUBLIC_URL, room, _token(AVATAR_IDENTITY, grants, lifetime))


def for_person(room: str) -> RoomAccess:
    """Return access to subscribe, to publish a microphone track, and to send data."""
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
    """Return access for a hidden, subscribe-only observer.

    Webhooks report the seat in the identity.
    """
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
