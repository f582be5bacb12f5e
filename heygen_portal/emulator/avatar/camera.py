"""What an avatar shows: 25 pictures a second, whether it talks or not."""

import asyncio
from collections.abc import Callable
from math import pi, sin
from random import Random
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from livekit import rtc

from heygen_portal.emulator.face.sprites import SIZES, TURNS, Picture, SpriteSheet
from heygen_portal.emulator.sessions.interfaces import PerformerConfig, PerformerFaults

FPS: Final = 25
_MAX_FRAME_RATE: Final = 60  # at 25, WebRTC drops each picture that comes a little early after one that was late
_CATCH_UP_FRAMES: Final = 5  # pictures
BITRATES: Final = {"low": 500_000, "medium": 1_000_000, "high": 2_000_000}
# The library's stubs do not know its own enum.
_DEGRADATION: Final = cast("Any", rtc.DegradationPreference.MAINTAIN_FRAMERATE_AND_RESOLUTION)
_CODECS: Final = {"H264": rtc.VideoCodec.H264, "VP8": rtc.VideoCodec.VP8}
_SWAY_SECONDS: Final = 7.0  # from one side to the other and back
_BLINK_INTERVAL_SECONDS: Final = (2.0, 6.0)  # between two
# What the lids do in a blink, by the time since it began.
_LIDS: Final = ((0.04, "half"), (0.14, "shut"), (0.20, "half"))


class Ticker:
    """One clock for all cameras of an event loop: a timer each would cost more than the pictures."""

    _of_loop: "WeakKeyDictionary[asyncio.AbstractEventLoop, Ticker]" = WeakKeyDictionary()

    def __init__(self) -> None:
        self._calls: set[Callable[[float], None]] = set()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def current(cls) -> "Ticker":
        return cls._of_loop.setdefault(asyncio.get_running_loop(), cls())

    def add(self, call: Callable[[float], None]) -> None:
        """Have `call` called with the loop's time, FPS times a second, until it is removed."""
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
            # A short hold-up is made good, so that the rate is kept; after a long one the beat starts anew.
            due = max(due + 1 / FPS, loop.time() - _CATCH_UP_FRAMES / FPS)
            await asyncio.sleep(due - loop.time())
        self._task = None


class Camera:
    """The avatar's video track. `mouth` tells the mouth's shape at a moment."""

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
            # Whatever the machine is busy with: the documented sizes are what clients and tests expect.
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
            return  # no new frame, as when an encoder hangs
        if self._faults.black:
            self._source.capture_frame(self._black)
            return
        self._picture.show(_turn(now), self._mouth(now), self._eyes(now))
        self._source.capture_frame(self._frame)

    def _eyes(self, now: float) -> str:
        since = now - self._next_blink
        lids = next((lids for until, lids in _LIDS if since < until), None) if since >= 0 else "open"
        if lids is None:
            self._next_blink = now + self._random.uniform(*_BLINK_INTERVAL_SECONDS)
            lids = "open"
        return f"{lids}-listening" if self.listening else lids


def _turn(now: float) -> int:
    """How far the body is turned: slowly to and fro, as nobody sits still."""
    return round((sin(2 * pi * now / _SWAY_SECONDS) + 1) / 2 * (TURNS - 1))


def _black(width: int, height: int) -> bytes:
    return bytes([16]) * (width * height) + bytes([128]) * (width * height // 2)
