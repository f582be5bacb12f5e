"""LiveAvatar's agent in the room of a FULL session. It publishes nothing."""

import asyncio
import json
from contextlib import suppress

from livekit import rtc

from heygen_portal.emulator.avatar.connect import connect_to_room


class Agent:
    def __init__(self, url: str, token: str) -> None:
        self._room = rtc.Room()
        self._url = url
        self._token = token
        self._stopped = asyncio.Event()

    async def join(self) -> None:
        self._room.on("data_received", self._received)
        await connect_to_room(self._room, self._url, self._token)

    async def wait_for_stopped(self) -> None:
        """Return once `session.stopped` arrived: LiveKit has then sent it to everyone."""
        await self._stopped.wait()

    async def leave(self) -> None:
        with suppress(Exception):  # the room may be gone already
            await self._room.disconnect()

    def _received(self, packet: rtc.DataPacket) -> None:
        with suppress(ValueError, RecursionError):  # any participant can send any data
            message = json.loads(packet.data)
            if isinstance(message, dict) and message.get("event_type") == "session.stopped":
                self._stopped.set()
