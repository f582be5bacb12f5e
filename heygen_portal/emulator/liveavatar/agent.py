"""LiveAvatar's agent in the room of a FULL session: seen there by its identity, it neither shows nor says anything."""

from contextlib import suppress

from livekit import rtc

from heygen_portal.emulator.entering import enter


class Agent:
    def __init__(self, url: str, token: str) -> None:
        self._room = rtc.Room()
        self._url = url
        self._token = token

    async def join(self) -> None:
        await enter(self._room, self._url, self._token)

    async def leave(self) -> None:
        with suppress(Exception):  # the room may be gone already
            await self._room.disconnect()
