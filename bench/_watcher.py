"""A participant in the avatar's room that receives its video like a browser."""

from __future__ import annotations

import asyncio

from livekit import rtc

WAIT_TIMEOUT_S = 20


class Watcher:
    def __init__(self) -> None:
        self._room: rtc.Room | None = None
        self._streams: list[rtc.VideoStream] = []

    async def receives_video(self, url: str, token: str) -> bool:
        """Join the room. Return whether a video frame arrived."""
        await self.close()
        self._room, arrived = rtc.Room(), asyncio.Queue[rtc.Track]()
        self._room.on("track_subscribed", lambda track, *_: arrived.put_nowait(track))
        try:
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                await self._room.connect(url, token)
                while (track := await arrived.get()).kind != rtc.TrackKind.KIND_VIDEO:
                    pass
                stream = rtc.VideoStream(track)
                self._streams.append(stream)
                await anext(aiter(stream))
        except (TimeoutError, rtc.ConnectError, StopAsyncIteration):
            return False
        return True

    async def close(self) -> None:
        for stream in self._streams:
            await stream.aclose()
        self._streams.clear()
        if self._room:
            await self._room.disconnect()
