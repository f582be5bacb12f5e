"""Our LiveKit server: its rooms, tokens to enter them, and its webhooks.

A room's name is random after this portal's prefix. An identity names a role in the room, never a person. No key, name
or text of a person is in a room's name, an identity or any metadata.
"""

from heygen_portal.livekit.rooms import (
    DEPARTURE_TIMEOUT,
    EMPTY_ROOM_TIMEOUT,
    REQUEST_TIMEOUT,
    LiveKitAway,
    OwnRoom,
    close,
    create_room,
    delete_room,
    diagnose,
    is_set_up,
    list_own_rooms,
    new_room_name,
    remove_participant,
    room_prefix,
)
from heygen_portal.livekit.tokens import (
    AVATAR_IDENTITY,
    OBSERVER_IDENTITY,
    OBSERVER_TOKEN_LIFETIME,
    PERSON_IDENTITY,
    PERSON_TOKEN_LIFETIME,
    RENEWED_TOKEN_LIFETIME,
    for_avatar,
    for_observer,
    for_person,
)
from heygen_portal.livekit.webhooks import WEBHOOK_MAX_AGE, UntrustedWebhook, Webhook, read_webhook

__all__ = [
    "AVATAR_IDENTITY",
    "DEPARTURE_TIMEOUT",
    "EMPTY_ROOM_TIMEOUT",
    "OBSERVER_IDENTITY",
    "OBSERVER_TOKEN_LIFETIME",
    "PERSON_IDENTITY",
    "PERSON_TOKEN_LIFETIME",
    "RENEWED_TOKEN_LIFETIME",
    "REQUEST_TIMEOUT",
    "WEBHOOK_MAX_AGE",
    "LiveKitAway",
    "OwnRoom",
    "UntrustedWebhook",
    "Webhook",
    "close",
    "create_room",
    "delete_room",
    "diagnose",
    "for_avatar",
    "for_observer",
    "for_person",
    "is_set_up",
    "list_own_rooms",
    "new_room_name",
    "read_webhook",
    "remove_participant",
    "room_prefix",
]
