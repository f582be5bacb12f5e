"""A participant that records the avatar's video, audio and data packets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
from livekit import api, rtc
from numpy.typing import NDArray

from heygen_portal.emulator.avatar.performer import RoomPerformer
from heygen_portal.emulator.sessions.interfaces import PerformerConfig
from tests.support import servers
from tests.timeouts import WAIT_TIMEOUT_S

LOUD = 500  # peak of a sample; silence after Opus stays far below


@dataclass(frozen=True)
class Frame:
    at: float
    captured_us: int
    width: int
    height: int
    luma: NDArray[np.uint8]


def token(livekit: servers.LiveKit, room: str, identity: str, *, is_hidden: bool = False) -> str:
    grants = api.VideoGrants(room_join=True, room=room, room_create=True, hidden=is_hidden)
    return api.AccessToken(livekit.api_key, livekit.api_secret).with_identity(identity).with_grants(grants).to_jwt()


class Viewer:
    def __init__(self) -> None:
        self.room = rtc.Room()
        self.frames: list[Frame] = []
        self.peaks: list[tuple[float, int]] = []  # of every 10 ms of sound
        self.packets: list[dict[str, Any]] = []
        self.packet_times: list[float] = []
        self.tracks: set[str] = set()  # names
        self.joined: set[str] = set()  # identities
        self.departed: set[str] = set()  # likewise, that left
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.room.on("track_subscribed", self._subscribed)
        self.room.on("track_unsubscribed", self._unsubscribed)
        self.room.on("data_received", self._received)
        self.room.on("participant_connected", self._joined)
        self.room.on("participant_disconnected", self._left)

    async def until(self, is_so: Callable[[], Any]) -> None:
        """Return once `is_so()`, checked whenever something arrives. Raises TimeoutError."""
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    async def next_frames(self, count: int) -> list[Frame]:
        """Return the next `count` frames."""
        start = len(self.frames)
        await self.until(lambda: len(self.frames) >= start + count)
        return self.frames[start : start + count]

    async def full_size(self, width: int, height: int) -> None:
        """Return once a frame has that size and none was larger.

        A busy encoder sends smaller ones for a while: docs/decisions/livekit-python.md.
        """
        await self.until(lambda: any((frame.width, frame.height) == (width, height) for frame in self.frames))
        assert max((frame.width, frame.height) for frame in self.frames) == (width, height)

    async def hear(self, seconds: float) -> list[int]:
        """Return the audio peaks of the next seconds."""
        start, count = len(self.peaks), round(seconds * 100)
        await self.until(lambda: len(self.peaks) >= start + count)
        return [peak for _, peak in self.peaks[start : start + count]]

    async def silence(self, seconds: float) -> None:
        """Return after that many seconds of silence."""
        start, count = len(self.peaks), round(seconds * 100)

        def is_silent() -> bool:
            heard = self.peaks[start:][-count:]
            return len(heard) == count and max(peak for _, peak in heard) < LOUD

        await self.until(is_silent)

    async def packets_of(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Return all packets of a kind once there are `count`."""
        await self.until(lambda: len(self._of(kind)) >= count)
        return self._of(kind)

    def sound_times(self, since: float) -> list[float]:
        """Return the times after `since` at which there was sound."""
        return [at for at, peak in self.peaks if at > since and peak > LOUD]

    def record(self, into: list[Any], what: Any) -> None:
        """Append to a list and wake `until`."""
        into.append(what)
        self._news.set()

    async def send(self, payload: object) -> None:
        await self.room.local_participant.publish_data(json.dumps(payload), reliable=True)

    async def close(self) -> None:
        await self.room.disconnect()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [packet for packet in self.packets if packet["type"] == kind]

    def _subscribed(self, track: rtc.Track, *_: object) -> None:
        self.tracks.add(track.name)
        watch = self._watch if track.kind == rtc.TrackKind.KIND_VIDEO else self._listen
        self._tasks.append(asyncio.create_task(watch(track)))
        self._news.set()

    def _unsubscribed(self, track: rtc.Track, *_: object) -> None:
        self.tracks.discard(track.name)
        self._news.set()

    def _joined(self, participant: rtc.RemoteParticipant) -> None:
        self.joined.add(participant.identity)
        self._news.set()

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        self.departed.add(participant.identity)
        self._news.set()

    def _received(self, packet: rtc.DataPacket) -> None:
        self.packets.append(json.loads(packet.data))
        self.packet_times.append(time.monotonic())
        self._news.set()

    async def _watch(self, track: rtc.Track) -> None:
        stream = rtc.VideoStream(track)
        try:
            async for event in stream:
                frame = event.frame
                luma = np.frombuffer(frame.data, np.uint8)[: frame.width * frame.height]
                picture = luma.reshape(frame.height, frame.width).copy()
                self.frames.append(Frame(time.monotonic(), event.timestamp_us, frame.width, frame.height, picture))
                self._news.set()
        finally:
            await stream.aclose()

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track)
        try:
            async for event in stream:
                peak = int(np.abs(np.frombuffer(event.frame.data, np.int16).astype(np.int32)).max())
                self.peaks.append((time.monotonic(), peak))
                self._news.set()
        finally:
            await stream.aclose()


@dataclass
class PerformerRoom:
    """A performer in a room with a viewer, and its reports to the routes."""

    room: str
    viewer: Viewer
    performer: RoomPerformer = field(init=False)
    events: list[dict[str, Any]] = field(default_factory=list)
    present: list[bool] = field(default_factory=list)
    users: list[bool] = field(default_factory=list)

    async def visible(self) -> None:
        """Return once video and audio arrive."""
        await self.viewer.until(lambda: self.viewer.frames and self.viewer.peaks)


@asynccontextmanager
async def performer_in_room(
    livekit: servers.LiveKit, config: dict[str, Any] | None = None, **faults: Any
) -> AsyncIterator[PerformerRoom]:
    """Join an avatar to a room with a viewer."""
    async with performer_outside_room(livekit, config, **faults) as setup:
        await setup.performer.join()
        yield setup


@asynccontextmanager
async def performer_outside_room(
    livekit: servers.LiveKit, config: dict[str, Any] | None = None, *, is_hidden: bool = False, **faults: Any
) -> AsyncIterator[PerformerRoom]:
    """Create a room with a viewer and an avatar that has not joined yet.

    LiveKit never announces a hidden viewer.
    """
    room, viewer = f"room-{uuid4()}", Viewer()
    async with AsyncExitStack() as after:
        await viewer.room.connect(livekit.url, token(livekit, room, "client", is_hidden=is_hidden))
        after.push_async_callback(viewer.close)
        performer_config = PerformerConfig(
            livekit.url, token(livekit, room, "heygen"), "lucia", **({"quality": "low"} | (config or {}))
        )
        setup = PerformerRoom(room, viewer)
        setup.performer = RoomPerformer(
            performer_config,
            lambda event: viewer.record(setup.events, event),
            lambda: viewer.record(setup.present, True),
            lambda here: viewer.record(setup.users, here),
        )
        for name, value in faults.items():
            setattr(setup.performer.faults, name, value)
        after.push_async_callback(setup.performer.leave)
        yield setup
