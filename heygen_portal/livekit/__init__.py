"""Our own LiveKit: who may enter which room, what the server is asked, and whether a webhook is its own.

A room's name is random below a prefix of this portal's; identities say what somebody is there, never who. No key, name
or text of a person is in a room's name, an identity or any metadata.
"""

from heygen_portal.livekit.rooms import (
    DEPARTURE,
    EMPTY_ROOM,
    PATIENCE,
    LiveKitAway,
    OwnRoom,
    close,
    delete_room,
    is_set_up,
    make_room,
    new_name,
    our_rooms,
    prefix,
    remove_participant,
    trouble,
)
from heygen_portal.livekit.tokens import (
    AVATAR,
    OBSERVER,
    OBSERVER_TOKEN,
    PERSON,
    PERSON_TOKEN,
    RENEWED_TOKEN,
    for_avatar,
    for_observer,
    for_person,
)
from heygen_portal.livekit.webhooks import WEBHOOK_LIFE, NotOurs, Told, read_webhook

__all__ = [
    "AVATAR",
    "DEPARTURE",
    "EMPTY_ROOM",
    "OBSERVER",
    "OBSERVER_TOKEN",
    "PATIENCE",
    "PERSON",
    "PERSON_TOKEN",
    "RENEWED_TOKEN",
    "WEBHOOK_LIFE",
    "LiveKitAway",
    "NotOurs",
    "OwnRoom",
    "Told",
    "close",
    "delete_room",
    "for_avatar",
    "for_observer",
    "for_person",
    "is_set_up",
    "make_room",
    "new_name",
    "our_rooms",
    "prefix",
    "read_webhook",
    "remove_participant",
    "trouble",
]
