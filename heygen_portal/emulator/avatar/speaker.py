"""The avatar's speech: tasks in order, with captions and mouth shapes in sync."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Protocol

from livekit import rtc

from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.speech.mouth_shapes import SHUT, MouthTrack, shapes_of_sound
from heygen_portal.emulator.speech.synthesis import SAMPLE_RATE, speak

log = logging.getLogger(__name__)

_MAX_PLAYED_SECONDS: Final = 600
_CHUNK_SECONDS: Final = 0.5
_QUEUE_MILLISECONDS: Final = 1000  # buffered ahead of playback; clear_queue() discards it


class SpeechTask(Protocol):
    """A task to speak. `perform` returns when the audio has been heard."""

    task_id: str

    async def perform(self, speaker: "Speaker") -> None: ...


class Speaker:
    """The avatar's audio track and its queue of tasks.

    Between tasks LiveKit's source sends silence by itself.
    """

    def __init__(self, report: Callable[[dict[str, Any]], None], *, on_talking: Callable[[], None]) -> None:
        self._source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=_QUEUE_MILLISECONDS)
        self.track = rtc.LocalAudioTrack.create_audio_track("audio", self._source)
        # No discontinuous transmission: like the real track, this one sends packets during silence.
        self.options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False, red=False)
        self._report = report
        self._waiting: deque[SpeechTask] = deque()
        self._current: asyncio.Task[None] | None = None
        self.mouth = MouthTrack()
        self._on_talking = on_talking

    def shape(self, moment: float) -> str:
        """Return the mouth shape at a time of the event loop."""
        return self.mouth.at(moment) if self._current else SHUT

    def add(self, task: SpeechTask) -> None:
        self._waiting.append(task)
        if self._current is None:
            self._begin()

    def interrupt(self) -> None:
        """Stop speaking and clear the queue."""
        self._waiting.clear()
        self._source.clear_queue()
        if self._current:
            self._current.cancel()

    async def close(self) -> None:
        self.interrupt()
        if self._current:
            await asyncio.wait({self._current})
        await self._source.aclose()

    def report(self, kind: str, task_id: str, **more: Any) -> None:
        self._report({"type": kind, "task_id": task_id, **more})

    async def sound(self, pcm: bytes) -> None:
        """Pass audio to the track. Returns when most of it has been sent."""
        for start in range(0, len(pcm), int(_CHUNK_SECONDS * SAMPLE_RATE) * 2):
            chunk = pcm[start : start + int(_CHUNK_SECONDS * SAMPLE_RATE) * 2]
            await self._source.capture_frame(rtc.AudioFrame(chunk, SAMPLE_RATE, 1, len(chunk) // 2))

    def _begin(self) -> None:
        self.mouth = MouthTrack()
        self._current = asyncio.create_task(self._perform(self._waiting.popleft()))
        self._current.add_done_callback(self._after)

    def _after(self, finished: asyncio.Task[None]) -> None:
        self._current = None
        if not finished.cancelled() and (error := finished.exception()):
            log.warning("a task could not be performed: %s", type(error).__name__)  # the message could contain speech
        if self._waiting:
            self._begin()

    async def _perform(self, task: SpeechTask) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.report("avatar_start_talking", task.task_id)
        self._on_talking()
        try:
            await task.perform(self)
        finally:  # reported even if interrupted
            self._source.clear_queue()
            duration = round((loop.time() - began) * 1000)
            self.report("avatar_stop_talking", task.task_id, duration_ms=duration)


class SpokenText:
    """A text in the avatar's voice.

    Only the text is queued: audio is large and quick to synthesize.
    """

    def __init__(self, task_id: str, text: str, voice: Voice) -> None:
        self.task_id = task_id
        self._text = text
        self._voice = voice

    async def perform(self, speaker: Speaker) -> None:
        loop = asyncio.get_running_loop()
        speech = await asyncio.to_thread(speak, self._text, self._voice)  # synthesized again unless still cached
        began = loop.time()
        speaker.mouth.add(began, list(speech.shapes))
        async with asyncio.TaskGroup() as group:
            group.create_task(speaker.sound(speech.pcm))
            for at, words in speech.timed_words:
                await asyncio.sleep(began + at - loop.time())
                speaker.report("avatar_talking_message", self.task_id, message=words)
            speaker.report("avatar_end_message", self.task_id)
            await asyncio.sleep(began + speech.seconds - loop.time())


class PlayedAudio:
    """Audio of a client, received in chunks until the client ends it."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._bytes_left = _MAX_PLAYED_SECONDS * SAMPLE_RATE * 2

    def add(self, pcm: bytes) -> None:
        """Append audio. Anything beyond ten minutes is dropped."""
        taken = pcm[: min(len(pcm), self._bytes_left) // 2 * 2]
        self._bytes_left -= len(taken)
        self._chunks.put_nowait(taken)

    def end(self) -> None:
        self._chunks.put_nowait(None)

    async def perform(self, speaker: Speaker) -> None:
        loop = asyncio.get_running_loop()
        heard = loop.time()  # when all audio so far will have been heard
        async for pcm in self._all():
            heard = max(heard, loop.time())
            speaker.mouth.add(heard, shapes_of_sound(pcm, SAMPLE_RATE))
            heard += len(pcm) / 2 / SAMPLE_RATE
            await speaker.sound(pcm)
        await asyncio.sleep(heard - loop.time())

    async def _all(self) -> AsyncIterator[bytes]:
        while (pcm := await self._chunks.get()) is not None:
            yield pcm
