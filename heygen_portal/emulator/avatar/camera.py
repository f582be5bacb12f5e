"""The avatar's video track: 25 frames per second, talking or not."""

import asyncio
from collections.abc import Callable
from math import pi, sin
from random import Random
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from livekit import rtc

from heygen_portal.emulator.face.sprites import SIZES, SWAY_POSITIONS, Picture, SpriteSheet
from heygen_portal.emulator.sessions.interfaces import PerformerConfig, PerformerFaults

FPS: Final = 25
_MAX_FRAME_RATE: Final = 60  # with 25, WebRTC drops a frame that follows a late one too soon
_CATCH_UP_FRAMES: Final = 5
BITRATES: Final = {"low": 500_000, "medium": 1_000_000, "high": 2_000_000}
# The library's type stubs lack this enum.
_DEGRADATION: Final = cast("Any", rtc.DegradationPreference.MAINTAIN_FRAMERATE_AND_RESOLUTION)
_CODECS: Final = {"H264": rtc.VideoCodec.H264, "VP8": rtc.VideoCodec.VP8}
_SWAY_SECONDS: Final = 7.0  # for a full sway
_BLINK_INTERVAL_SECONDS: Final = (2.0, 6.0)
# Position of the lids by seconds since the blink began.
_LIDS: Final = ((0.04, "half"), (0.14, "shut"), (0.20, "half"))


class Ticker:
    """A clock shared by all cameras of an event loop.

    A timer for each would cost more than the frames themselves.
    """

    _of_loop: "WeakKeyDictionary[asyncio.AbstractEventLoop, Ticker]" = WeakKeyDictionary()

    def __init__(self) -> None:
        self._calls: set[Callable[[float], None]] = set()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def current(cls) -> "Ticker":
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())

    def add(self, call: Callable[[float], None]) -> None:
        """Call `call` with the loop's time FPS times a second, until it is removed."""
        self._calls.add(call)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def remove(self, call: Callable[[float], None]) -> None:
        self._calls.discard(call)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self._calls:
            for call in tuple(self._calls):
                call(loop.time())
            due = next_frame_at(due, loop.time())
            await asyncio.sleep(due - loop.time())
        self._task = None


def next_frame_at(due: float, now: float) -> float:
    """Return when the frame after the one due at `due` is due.

    The frames of a short delay are caught up to keep the rate; after a long one the rhythm restarts.
    """
    return max(due + 1 / FPS, now - _CATCH_UP_FRAMES / FPS)


class Camera:
    """The avatar's video track. `mouth` returns the mouth shape at a time."""

    def __init__(
        self, config: PerformerConfig, sheet: SpriteSheet, mouth: Callable[[float], str], faults: PerformerFaults
    ) -> None:
        width, height = SIZES[config.quality]
        self._faults = faults
        self.listening = False
        self._source = rtc.VideoSource(width, height)
        self.track = rtc.LocalVideoTrack.create_video_track("video", self._source)
        self.options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            simulcast=False,
            video_codec=_CODECS[config.encoding],
            # Keep the documented sizes even under load: clients and tests rely on them.
            degradation_preference=_DEGRADATION,
            video_encoding=rtc.VideoEncoding(max_bitrate=BITRATES[config.quality], max_framerate=_MAX_FRAME_RATE),
        )
        self._picture = Picture(sheet)
        self._frame = rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, self._picture.data)
        self._black = rtc.VideoFrame(width, height, rtc.VideoBufferType.I420, _black(width, height))
        self._mouth = mouth
        self._random = Random(config.look)
        self._next_blink = 0.0

    def start(self) -> None:
        Ticker.current().add(self._tick)

    async def close(self) -> None:
        Ticker.current().remove(self._tick)
        await self._source.aclose()

    def _tick(self, now: float) -> None:
        if self._faults.frozen:
            return  # no new frames, as from a hanging encoder
        if self._faults.black:
            self._source.capture_frame(self._black)
            return
        self._picture.show(_sway_position(now), self._mouth(now), self._eyes(now))
        self._source.capture_frame(self._frame)

    def _eyes(self, now: float) -> str:
        since = now - self._next_blink
        lids = next((lids for until, lids in _LIDS if since < until), None) if since >= 0 else "open"
        if lids is None:
            self._next_blink = now + self._random.uniform(*_BLINK_INTERVAL_SECONDS)
            lids = "open"
        return f"{lids}-listening" if self.listening else lids


def _sway_position(now: float) -> int:
    """Return how far the body is turned, swaying slowly."""
    return round((sin(2 * pi * now / _SWAY_SECONDS) + 1) / 2 * (SWAY_POSITIONS - 1))


def _black(width: int, height: int) -> bytes:
    return bytes([16]) * (width * height) + bytes([128]) * (width * height // 2)
