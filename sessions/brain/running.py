"""The answers that this process is giving, one per session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

from heygen_portal.providers.openai.messages import Usage
from heygen_portal.runtime import background

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


def start(
    session_id: UUID, answer_id: int, give: Callable[[RunningAnswer], Coroutine[Any, Any, None]]
) -> RunningAnswer:
    """Give an answer in the background. The caller has interrupted the one before."""
    answer = RunningAnswer(answer_id)
    answer.task = background.spawn(give(answer))
    _running[session_id] = answer

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
