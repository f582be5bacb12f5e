"""The data channel: messages of the avatar, published one after the other."""

import asyncio
import json
import logging
from typing import Any

from livekit import rtc

from heygen_portal.emulator.part import PerformerFaults

log = logging.getLogger(__name__)

Message = dict[str, Any]


class Packets:
    """Publishes messages in the order they were handed in, unless told to lose, double or swap them."""

    def __init__(self, participant: rtc.LocalParticipant, faults: PerformerFaults) -> None:
        self._faults = faults
        self._participant = participant
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._held: Message | None = None
        self._count = 0
        self._task = asyncio.create_task(self._run())

    def send(self, message: Message) -> None:
        for each in self._spoilt(message):
            self._queue.put_nowait(each)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    def _spoilt(self, message: Message) -> list[Message]:
        """What is sent instead of `message`: every second one lost, each doubled, or neighbours swapped."""
        self._count += 1
        held, self._held = self._held, None
        before = [held] if held else []
        match self._faults.packets:
            case "lost":
                return before + ([message] if self._count % 2 else [])
            case "doubled":
                return [*before, message, message]
            case "reordered" if held is None and message["type"] != "avatar_stop_talking":
                self._held = message  # until the next one has overtaken it; nothing follows the last
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
                await self._participant.publish_data(payload, reliable=True)
            except rtc.participant.PublishDataError as exc:
                log.info("a data packet could not be published: %s", exc.message)
