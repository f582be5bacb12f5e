"""The answers that this process is giving, one per session.

Each listens to the channel layer, because another process may interrupt it or stop its session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from heygen_portal.providers.openai.messages import Usage
from heygen_portal.redis.channel_layer import EVENTS_MISSED
from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from sessions.lifecycle import broadcast
from sessions.models import Answer, Status

# Who interrupted an answer.
INTERRUPT, NEW_TEXT, STOP, ACCESS, SHUTDOWN = "interrupt", "new_text", "stop", "access", "shutdown"
CLIENT_LEFT = "client_left"  # the provider closed its request to the brain
ENDING = (Status.STOPPING, Status.ENDED)


class RunningAnswer:
    """An answer that is being given."""

    def __init__(self, answer_id: int) -> None:
        self.answer_id = answer_id
        self.reason = ""  # who interrupted it
        self.is_ending = False  # nothing more will be said
        self.usage = Usage()  # of the model, known at the end
        self.has_sent_late = False  # a sentence reached the provider after the interruption
        self.task: asyncio.Future[None] | None = None

    def interrupt(self, reason: str) -> bool:
        """Close the request to the model, and say no further sentence. Return whether it was still being given."""
        if self.is_ending or self.reason or self.task is None:
            return False
        self.reason = reason
        self.task.cancel()
        return True

    async def ended(self) -> None:
        """Wait until its end is stored."""
        if self.task is not None:
            await asyncio.wait({self.task})

    async def listen(self, session_id: UUID) -> None:
        """Interrupt the answer when another process says so. Without Redis, its next sentence is refused."""
        with suppress(RedisError, OSError):
            layer: Any = get_channel_layer()
            channel = await layer.new_channel()
            for group in (broadcast.answers_group(session_id), broadcast.group_name(session_id)):
                await layer.group_add(group, channel)
            await self._follow_row()  # it may have been interrupted before
            while True:
                message = await layer.receive(channel)
                event = message.get("event", {})
                if message["type"] == EVENTS_MISSED["type"]:
                    await self._follow_row()
                elif self.answer_id in message.get("answers", ()):
                    self.interrupt(message["reason"])
                elif event.get("type") == broadcast.StatusChanged.type and event["status"] in ENDING:
                    self.interrupt(STOP)

    async def _follow_row(self) -> None:
        row = await in_thread(Answer.objects.filter(pk=self.answer_id).values_list("reason", "session__status").first)()
        reason, status = row or (STOP, "")
        if reason or status in ENDING:
            self.interrupt(reason or STOP)


_running: dict[UUID, RunningAnswer] = {}


def start(
    session_id: UUID, answer_id: int, give: Callable[[RunningAnswer], Coroutine[Any, Any, None]]
) -> RunningAnswer:
    """Give an answer in the background. The caller has interrupted the one before."""
    answer = RunningAnswer(answer_id)
    answer.task = background.spawn(give(answer))
    listening = background.spawn(answer.listen(session_id))
    background.on_shutdown(interrupt_all)
    _running[session_id] = answer

    def forget(_task: asyncio.Future[None]) -> None:
        listening.cancel()
        if _running.get(session_id) is answer:
            del _running[session_id]

    answer.task.add_done_callback(forget)
    return answer


def interrupt(session_id: UUID, reason: str, answer_id: int | None = None) -> RunningAnswer | None:
    """Interrupt the session's answer, or only this one. Return it if this process was giving it."""
    answer = _running.get(session_id)
    if answer is None or answer_id not in (None, answer.answer_id) or not answer.interrupt(reason):
        return None
    return answer


async def interrupt_all() -> None:
    """Interrupt every answer of this process, which shuts down, and wait until their ends are stored."""
    answers = list(_running.values())
    for answer in answers:
        answer.interrupt(SHUTDOWN)
    await asyncio.gather(*(answer.ended() for answer in answers))
