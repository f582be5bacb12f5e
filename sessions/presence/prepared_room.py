"""The room of ours that waits for one tab's Start: made while the person still reads, dropped when it is not used."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from heygen_portal.livekit import LiveKitAway
from heygen_portal.providers.contract.provider import RoomAccess
from heygen_portal.runtime import background
from sessions.presence import own_rooms

logger = logging.getLogger(__name__)

MARGIN = timedelta(seconds=10)
"""Dropped this much sooner than LiveKit's own limit: a room that is taken is not about to go."""


class PreparedRoom:
    """At most one room for one tab. Nothing in it costs anything at a provider."""

    def __init__(self) -> None:
        self._name = ""
        self._making = asyncio.Lock()
        self._expiry: asyncio.TimerHandle | None = None

    async def open(self) -> RoomAccess | None:
        """Make the room, unless it is there; None where there is nothing to tell. A LiveKit that is away is no error:
        Start finds out for itself, and says it."""
        async with self._making:
            if self._name:
                return None
            try:
                room = await own_rooms.prepare()
            except LiveKitAway as exc:
                logger.warning("no room could be prepared: %s", exc)
                return None
            self._name = room.name
            wait = own_rooms.PREPARED_FOR - MARGIN
            self._expiry = asyncio.get_running_loop().call_later(wait.total_seconds(), self.drop)
        return room

    def take(self) -> str:
        """Hand the room's name over to a session, or nothing when no room waits."""
        name, self._name = self._name, ""
        if self._expiry:
            self._expiry.cancel()
        return name

    def drop(self) -> None:
        """Nobody pressed Start: the room goes, beside whatever else is done. Safe to repeat."""
        if name := self.take():
            background.keep(own_rooms.drop(name))
