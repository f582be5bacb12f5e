"""Answer what the provider heard in a session.

The answer is recorded as every other. Its sentences go to the caller, who says them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import uuid4

from heygen_portal.postgresql import clock
from heygen_portal.providers.openai.messages import Usage
from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import deadlines
from sessions.actions.stop import stop
from sessions.brain import record, running, turn
from sessions.brain.running import RunningAnswer
from sessions.lifecycle import end_evidence, events
from sessions.models import EndReason, SessionTask, StreamingSession
from sessions.models.conversations import HEARD_REF
from sessions.speech import speech_sql

UNREAD_S = 5.0


class SpokenTurn:
    """One text that the provider heard, and its answer."""

    def __init__(self) -> None:
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue()
        self._run: RunningAnswer | None = None
        self._unread: asyncio.TimerHandle | None = None

    async def begin(self, session: StreamingSession, text: str) -> None:
        """Store the text and begin to answer it, also if the caller leaves meanwhile.

        Raises TextEmpty, TextTooLong, NotLive.
        """
        starting = asyncio.ensure_future(self._start(session, text))
        background.keep(starting)
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(lambda _: self._leave())
            raise
        # The caller may leave before the response begins.
        self._unread = asyncio.get_running_loop().call_later(UNREAD_S, self._leave)

    async def _start(self, session: StreamingSession, text: str) -> None:
        task = await in_thread(_accept)(session, text)
        self._run = await turn.begin(
            task, self._deliver, end_conversation=lambda: stop(session, EndReason.PERSONA_ENDED, end_evidence.persona())
        )
        if self._run is None:
            raise errors.NotLive
        assert self._run.task is not None
        self._run.task.add_done_callback(lambda _: self._sentences.put_nowait(None))

    @property
    def answer_id(self) -> int:
        assert self._run is not None
        return self._run.answer_id

    @property
    def usage(self) -> Usage:
        """The tokens that the model used, known at the end."""
        assert self._run is not None
        return self._run.usage

    async def sentences(self) -> AsyncGenerator[str, None]:
        """Yield what to say. Leaving before the end interrupts the answer and closes the request to the model."""
        if self._unread:
            self._unread.cancel()
        try:
            while (sentence := await self._sentences.get()) is not None:
                yield sentence
        finally:
            self._leave()

    def _leave(self) -> None:
        if self._run:
            self._run.interrupt(running.CLIENT_LEFT)

    async def _deliver(self, task: SessionTask) -> None:
        """Pass a stored sentence on and record that."""
        text = task.text
        self._sentences.put_nowait(text)
        task.status, task.latency = SessionTask.Status.SENT, clock.now() - task.created_at
        await in_thread(_record_sent)(task)


def _accept(session: StreamingSession, text: str) -> SessionTask:
    record.cut_last(session.pk)  # the user spoke, so the avatar stopped
    kind, ref = SessionTask.Kind.TALK, f"{HEARD_REF}{uuid4().hex}"
    user_id = session.user_id
    task, _is_new = deadlines.accept_task(session.pk, text=text, kind=kind, user_id=user_id, ref=ref, is_heard=True)
    return task


def _record_sent(task: SessionTask) -> None:
    events.record_with(task.session_id, events.task_entry(task), speech_sql.outcome_of(task))
