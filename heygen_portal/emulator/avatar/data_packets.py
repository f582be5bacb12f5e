"""The avatar's messages on the data channel, published in order."""

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any, Final

from livekit import rtc

from heygen_portal.emulator.sessions.interfaces import PerformerFaults

log = logging.getLogger(__name__)

Message = dict[str, Any]
_FINAL_EVENTS: Final = ("avatar_stop_talking", "avatar.speak_ended", "session.stopped")  # may be the last message
_FLUSH_SECONDS: Final = 0.5


class PacketSender:
    """Publishes messages in order, unless faults lose, double or swap them."""

    def __init__(self, participant: rtc.LocalParticipant, faults: PerformerFaults, topic: str = "") -> None:
        self._topic = topic
        self._faults = faults
        self._participant = participant
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._held: Message | None = None
        self._count = 0
        self._task = asyncio.create_task(self._run())

    def send(self, message: Message) -> None:
        for each in self._with_faults(message):
            self._queue.put_nowait(each)

    async def close(self) -> None:
        """Publish the queued messages within a short time limit, then stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), _FLUSH_SECONDS)
        self._task.cancel()
        await asyncio.wait({self._task})

    def _with_faults(self, message: Message) -> list[Message]:
        """Return the messages to send after faults: dropped, doubled or swapped."""
        self._count += 1
        held, self._held = self._held, None
        before = [held] if held else []
        match self._faults.packets:
            case "lost":
                return before + ([message] if self._count % 2 else [])
            case "doubled":
                return [*before, message, message]
            case "reordered" if held is None and message.get("type", message.get("event_type")) not in _FINAL_EVENTS:
                self._held = message  # sent after the next one
                return []
            case "reordered":
                return [message, *before]
            case _:
                return [*before, message]

    async def _run(self) -> None:
        while True:
            message = await self._queue.get()
            payload = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
            try:
                await self._participant.publish_data(payload, reliable=True, topic=self._topic)
            except rtc.participant.PublishDataError as exc:
                log.info("a data packet could not be published: %s", exc.message)
            self._queue.task_done()
