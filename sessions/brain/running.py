"""The answers that this process is giving, one per session.

One task of the process listens to the channel layer, because another process may interrupt an answer or stop its
session. A message that comes before an answer is known here is lost; its row then lets no request or sentence out.
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
from sessions.models import Answer

# Who interrupted an answer.
INTERRUPT, NEW_TEXT, STOP, ACCESS, SHUTDOWN = "interrupt", "new_text", "stop", "access", "shutdown"
CLIENT_LEFT = "client_left"  # the provider closed its request to the brain


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


_running: dict[UUID, RunningAnswer] = {}
_listening: asyncio.Task[None] | None = None


def start(
    session_id: UUID, answer_id: int, give: Callable[[RunningAnswer], Coroutine[Any, Any, None]]
) -> RunningAnswer:
    """Give an answer in the background. The caller has interrupted the one before."""
    answer = RunningAnswer(answer_id)
    answer.task = background.spawn(give(answer))
    background.on_shutdown(interrupt_all)
    _running[session_id] = answer
    _keep_listening()

    def forget(_task: asyncio.Future[None]) -> None:
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
    if _listening is not None:
        _listening.cancel()


def _keep_listening() -> None:
    """Listen from the first answer on. What ended the listening is over by the next answer, or ends it again."""
    global _listening
    loop = asyncio.get_running_loop()
    if _listening is None or _listening.done() or _listening.get_loop() is not loop:
        _listening = loop.create_task(_listen())


async def _listen() -> None:
    """Interrupt answers when another process says so. Without Redis, their next sentence is refused."""
    with suppress(RedisError, OSError):
        layer: Any = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(broadcast.ANSWERS, channel)
        await _follow_rows()  # some may have been interrupted before
        while True:
            message = await layer.receive(channel)
            if message["type"] == EVENTS_MISSED["type"]:
                await _follow_rows()
            elif message["type"] == broadcast.SESSION_EVENT:
                interrupt(UUID(message["event"]["session_id"]), STOP)
            else:
                for answer_id in message["answers"]:
                    interrupt(UUID(message["session"]), message["reason"], answer_id)


async def _follow_rows() -> None:
    """Interrupt the answers whose rows say so."""
    answers = {answer.answer_id: answer for answer in _running.values()}
    rows = Answer.objects.filter(pk__in=list(answers)).values_list("pk", "reason", "session__status")
    for key, reason, status in await in_thread(lambda: list(rows))():
        if reason or status in broadcast.ENDING:
            answers[key].interrupt(reason or STOP)
