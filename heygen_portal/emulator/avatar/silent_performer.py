"""A performer without media or LiveKit, for load tests. It sends the same events."""

import asyncio
from typing import Any

from heygen_portal.emulator.sessions.interfaces import OnEvent, OnPresent, OnUser, PerformerConfig, PerformerFaults

MS_PER_CHARACTER = 60.0  # a natural speaking rate
BYTES_PER_MS = 48  # 24 kHz, mono, 16 bit


class SilentPerformer:
    """Present at once, together with a user. Speech takes time but makes no sound."""

    def __init__(self, config: PerformerConfig, on_event: OnEvent, on_present: OnPresent, on_user: OnUser) -> None:
        self.config = config
        self.faults = PerformerFaults()
        self._on_event = on_event
        self._on_present = on_present
        self._on_user = on_user
        self._queue: list[tuple[str, str, float]] = []  # task, text, milliseconds
        self._ending: asyncio.TimerHandle | None = None
        self._playing: dict[str, float] = {}

    async def join(self) -> None:
        if self.faults.late_s:
            await asyncio.sleep(self.faults.late_s)
        self._on_present()
        self._on_user(True)

    async def prepare(self, text: str) -> None:
        """Do nothing, as there is no sound."""

    def say(self, text: str, *, task_id: str) -> float:
        duration = len(text) * MS_PER_CHARACTER / self.config.voice.rate
        self._queue.append((task_id, text, duration))
        if len(self._queue) == 1:
            self._begin()
        return duration

    def answer(self, text: str, *, task_id: str) -> float:
        return self.say(self.reply(text), task_id=task_id)

    def reply(self, text: str) -> str:
        return self.config.opening or text

    def send_message(self, message: dict[str, Any]) -> None:
        """Do nothing, as there is no room."""

    def play(self, pcm: bytes, *, task_id: str) -> None:
        self._playing[task_id] = self._playing.get(task_id, 0.0) + len(pcm) / BYTES_PER_MS

    def end_play(self, task_id: str) -> None:
        self._queue.append((task_id, "", self._playing.pop(task_id, 0.0)))
        if len(self._queue) == 1:
            self._begin()

    def interrupt(self) -> None:
        self._playing.clear()
        if self._queue:
            del self._queue[1:]
            self._end()

    def listen(self, on: bool) -> None:
        """Do nothing, as there is no picture."""

    def hear(self, pcm: bytes) -> None:
        """Do nothing, as there is no speech recognition."""

    def press(self, on: bool) -> None:
        """Do nothing, as there is no microphone."""

    def notice_user(self) -> None:
        """Do nothing, as the user is present from the start."""

    async def leave(self) -> None:
        if self._ending:
            self._ending.cancel()
        self._queue.clear()

    def _begin(self) -> None:
        task_id, text, duration = self._queue[0]
        self._report("avatar_start_talking", task_id)
        if text:
            self._report("avatar_talking_message", task_id, message=text)
            self._report("avatar_end_message", task_id)
        self._ending = asyncio.get_running_loop().call_later(duration / 1000, self._end)

    def _end(self) -> None:
        if self._ending:
            self._ending.cancel()
        task_id, _, duration = self._queue.pop(0)
        self._report("avatar_stop_talking", task_id, duration_ms=duration)
        if self._queue:
            self._begin()

    def _report(self, kind: str, task_id: str, **more: Any) -> None:
        self._on_event({"type": kind, "task_id": task_id, **more})
