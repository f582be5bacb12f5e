"""A room on our own LiveKit, created before Start and deleted if unused."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from heygen_portal.livekit import LiveKitAway
from heygen_portal.providers.contract.provider import RoomAccess
from heygen_portal.runtime import background
from sessions.presence import own_rooms

logger = logging.getLogger(__name__)

# How long before LiveKit's own limit the room is deleted, so that a room in use cannot hit that limit.
MARGIN = timedelta(seconds=10)


class PreparedRoom:
    """At most one prepared room for one tab. It costs nothing at a provider."""

    def __init__(self) -> None:
        self._name = ""
        self._making = asyncio.Lock()
        self._expiry: asyncio.TimerHandle | None = None

    async def open(self) -> RoomAccess | None:
        """Create the room and return its access; None if it exists or LiveKit is away.

        The failure is only logged here: Start reports it when it needs the room.
        """
        async with self._making:
            if self._name:
                return None
            try:
                room = await own_rooms.prepare()
            except LiveKitAway as exc:
                logger.warning("no room could be prepared: %s", exc)
                return None
            self._name = room.name
            wait = own_rooms.PREPARED_ROOM_LIFETIME - MARGIN
            self._expiry = asyncio.get_running_loop().call_later(wait.total_seconds(), self.drop)
        return room

    def take(self) -> str:
        """Return the prepared room's name, or an empty string."""
        name, self._name = self._name, ""
        if self._expiry:
            self._expiry.cancel()
        return name

    def drop(self) -> None:
        """Delete the unused room in the background. Safe to repeat."""
        if name := self.take():
            background.spawn(own_rooms.delete(name))
