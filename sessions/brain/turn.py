"""Answer a user's text with the organisation's own model, sentence by sentence.

The text is stored as every other; each sentence is sent to the avatar to be said verbatim, the first one as soon as it
is whole. An answer always ends in a stored state: here, or by the worker if this process dies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from avatars.models import BuiltInTool
from heygen_portal import providers
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import ProviderError, RoomCommand
from heygen_portal.providers.openai.messages import Finished, Message, ToolCall, Usage
from heygen_portal.runtime import background, budgets
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.in_thread import in_thread
from sessions.brain import answering, prompt, record, running, sources
from sessions.brain.answering import Asked, Ended, Filler, Outcome, Searched, Sentence, ToolBegan, ToolCalled, Used
from sessions.brain.interfaces import Stream
from sessions.brain.record import Figures, State
from sessions.brain.running import RunningAnswer
from sessions.brain.sources import Sources
from sessions.brain.tools import calls, contact, tool_events
from sessions.brain.tools.calls import Called
from sessions.capacity import model_limits
from sessions.capacity.model_limits import ModelLimits
from sessions.errors import SessionError
from sessions.lifecycle import broadcast
from sessions.models import Answer, SessionTask, StreamingSession

logger = logging.getLogger(__name__)

# Sends a stored task to the provider and stores the outcome in it.
Deliver = Callable[[SessionTask], Coroutine[Any, Any, None]]
# Has a page publish a command in its room. Returns whether the page did.
GiveCommand = Callable[[RoomCommand], Awaitable[bool]]
# Ends the conversation because the persona does.
EndConversation = Callable[[], Coroutine[Any, Any, None]]
# How long an avatar may take to say an answer, if nobody reports that it has.
LEAST_SPEAKING_TIME = timedelta(seconds=4)
SPEAKING_TIME_PER_CHARACTER = timedelta(seconds=0.08)
SPOKEN_POLL_S = 0.5
# The code of an answer that failed for a reason that the log has.
ERROR = "error"


async def begin(
    task: SessionTask,
    deliver: Deliver,
    give_command: GiveCommand | None = None,
    end_conversation: EndConversation | None = None,
) -> RunningAnswer | None:
    """Answer a stored text in the background. An answer that is still being given is interrupted.

    Return None if the session is over.
    """
    session = task.session
    before = running.interrupt(session.pk, running.NEW_TEXT)
    answer, others = await in_thread(record.begin)(task, running.NEW_TEXT)
    if answer is None:
        return None
    # A provider that hears the user stops speaking by itself.
    is_cutting = bool(before or others) and not task.is_heard
    turn = _Turn(session, task, answer, deliver, before, give_command, is_cutting=is_cutting)
    turn.end_conversation = end_conversation
    return running.start(session.pk, answer.pk, turn.give)


async def interrupt(session_id: UUID, reason: str) -> RunningAnswer | None:
    """Interrupt the session's answer in whichever process gives it. Return it if that is this one."""
    here = running.interrupt(session_id, reason)
    await in_thread(record.interrupt)(session_id, reason)
    return here


class _Turn:
    """One answer, from the text to its stored end."""

    def __init__(
        self,
        session: StreamingSession,
        task: SessionTask,
        answer: Answer,
        deliver: Deliver,
        before: RunningAnswer | None,
        give_command: GiveCommand | None,
        *,
        is_cutting: bool,
    ) -> None:
        self.session, self.task, self.answer, self.deliver = session, task, answer, deliver
        self.before, self.give_command, self.is_cutting = before, give_command, is_cutting
        self.figures = Figures()
        self.sources: Sources | None = None
        self.limits = ModelLimits()
        # What ended requests used, and how much was asked and read since.
        self.used = Usage()
        self.prompt_characters = self.characters = self.said_characters = 0
        self.open_call: ToolBegan | None = None
        self.end_conversation: EndConversation | None = None
        self.is_last = False  # the conversation ends after it

    async def give(self, run: RunningAnswer) -> None:
        """Give the answer. Being cancelled interrupts it; its end is stored all the same."""
        state, reason = State.INTERRUPTED, running.SHUTDOWN
        limit = asyncio.timeout(answering.LONGEST_ANSWER.total_seconds())
        try:
            async with limit:
                state, reason = await self._say_all(run)
        except asyncio.CancelledError:
            reason = run.reason or running.SHUTDOWN
        except Exception:
            if not limit.expired():
                logger.exception("session %s: a text could not be answered", self.session.pk)
            state, reason = await self._apologise(run, answering.TOO_SLOW if limit.expired() else ERROR)
        run.is_ending = True
        if call := self.open_call:
            await self._record_call(Called(call.name, call.arguments, "", calls.INTERRUPTED))
        self._charge()
        run.usage = self.figures.usage
        await in_thread(record.end)(self.answer, state, reason, self.figures)
        if self.is_last and self.end_conversation and state != State.INTERRUPTED:
            background.spawn(self._end_when_spoken(self.end_conversation))

    async def _say_all(self, run: RunningAnswer) -> tuple[State, str]:
        if self.is_cutting:
            await self._silence_last_answer()
        said = await in_thread(self._load)()
        found = self.sources
        assert found is not None  # just loaded
        if limit := self._reached_limit():
            return await self._say(run, found.brain.fallback) or (State.FALLBACK, limit)
        parts = answering.answer(
            self.task.text,
            said,
            found.brain,
            stream=self._counted(found.stream),
            search=found.search,
            find_written=found.find_written,
            today=timezone.localdate(),
        )
        async with aclosing(parts):
            async for part in parts:
                match part:
                    case Searched(passages):
                        self.figures.passages = passages
                    case Asked(prompt_version, characters):
                        if found.service:
                            self.figures.service, self.figures.model = found.service.name, found.service.chat_model
                        self.figures.prompt_version = prompt_version
                        self.prompt_characters += characters
                        self._charge()
                        if not await in_thread(record.note_request)(self.answer, self.figures):
                            return State.INTERRUPTED, running.STOP
                    case Used(usage):
                        self._settle(usage)
                    case ToolBegan(name):
                        self.open_call = part
                        if name not in found.brain.tool_names:
                            continue
                        await in_thread(broadcast.publish)(
                            self.session.pk, broadcast.AnswerTool(self.task.ref, tool_events.shown_as(name))
                        )
                    case ToolCalled(called):
                        await self._record_call(called)
                    case Filler(text):
                        await self._say(run, text)
                    case Sentence(text, citations):
                        if (failure := await self._say(run, text, citations)) is not None:
                            return failure
                        if limit := self._reached_limit():
                            return await self._say(run, found.brain.fallback) or (State.FALLBACK, limit)
                    case Ended(outcome, reason, usage):
                        self._settle(usage)
                        if outcome == Outcome.NO_ANSWER:
                            await found.record_unanswered(self.task.text)
                        return record.STATES[outcome], reason
        raise AssertionError("an answer ended without its end")

    def _load(self) -> list[Message]:
        self.sources = sources.load(self.session)
        if version := self.session.version:
            self.limits = model_limits.limits_of(self.session, version, clock.now())
        return record.said_before(self.session, self.task)

    def _reached_limit(self) -> str:
        """Return the code of the limit that this answer has reached, so far as it can be estimated."""
        self._charge()
        return self.limits.reached_with(self.figures.usage, self.figures.cost)

    async def _record_call(self, called: Called) -> None:
        self.open_call = None
        await in_thread(tool_events.record)(self.answer, called)
        if called.code:
            return
        if called.name == BuiltInTool.PERSON:
            background.spawn(self._ask_for_person())
        self.is_last = self.is_last or called.name == BuiltInTool.END

    async def _ask_for_person(self) -> None:
        with suppress(SessionError, TooManyRequests):  # it has ended meanwhile, or asked too often
            await budgets.spend("message", session=self.session.pk)
            await contact.ask_for_person(self.session.pk, contact.BY_MODEL)

    async def _end_when_spoken(self, end: EndConversation) -> None:
        """End the conversation once the avatar has said the answer, unless the user says more meanwhile."""
        give_up_at = clock.now() + LEAST_SPEAKING_TIME + self.said_characters * SPEAKING_TIME_PER_CHARACTER
        while clock.now() < give_up_at and not await in_thread(record.is_spoken)(self.answer):
            await asyncio.sleep(SPOKEN_POLL_S)
        if await in_thread(record.is_newest)(self.answer):
            await end()

    def _settle(self, usage: Usage) -> None:
        """Take what ended requests used in place of the estimate."""
        self.used, self.prompt_characters, self.characters = usage, 0, 0

    def _charge(self) -> None:
        """Charge what ended requests used, and an estimate of one that has not ended."""
        usage = self.used
        if self.prompt_characters:
            asked, read = map(prompt.estimated_tokens, (self.prompt_characters, self.characters))
            usage += Usage(asked, read, is_estimated=True)
        self.figures.usage = usage
        if self.sources and self.sources.service:
            self.figures.cost = self.sources.service.cost(usage)

    def _counted(self, stream: Stream) -> Stream:
        """Count what the model writes, whether or not it is said."""

        async def counted(messages: Sequence[Message]) -> AsyncGenerator[str | ToolCall | Finished, None]:
            async with aclosing(stream(messages)) as deltas:
                async for delta in deltas:
                    self.characters += len(delta) if isinstance(delta, str) else 0
                    yield delta

        return counted

    async def _silence_last_answer(self) -> None:
        """Have the avatar stop saying the answer that this one replaces."""
        if self.before:
            await self.before.ended()
        assert self.session.provider_session_id is not None
        with suppress(ProviderError):  # then the rest is spoken first
            silenced = await providers.for_account(self.session.account).interrupt(self.session.provider_session_id)
            if isinstance(silenced, RoomCommand) and self.give_command:
                await self.give_command(silenced)

    async def _say(self, run: RunningAnswer, text: str, citations: tuple[int, ...] = ()) -> tuple[State, str] | None:
        """Send a sentence. Return how the answer ends if it could not be said."""
        task = await in_thread(record.store_sentence)(self.answer, text, citations)
        if task is None:
            return State.INTERRUPTED, running.STOP
        task.session = self.session
        sending = asyncio.ensure_future(self.deliver(task))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            await sending  # it may have reached the provider, and its outcome must be stored
            run.has_sent_late = task.status == SessionTask.Status.SENT
            raise
        if task.status != SessionTask.Status.SENT:
            return State.NOT_SENT, task.failure
        self.said_characters += len(text)
        if self.figures.first_sentence is None:
            self.figures.first_sentence = clock.now() - self.task.created_at
        sentence = broadcast.AnswerSentence(self.task.ref, text, task.provider_task_id, self._sources_of(citations))
        await in_thread(broadcast.publish)(self.session.pk, sentence)
        return None

    def _sources_of(self, citations: tuple[int, ...]) -> list[dict[str, Any]]:
        passages = self.figures.passages
        shown = ((number, passages[number - 1]) for number in citations)
        return [
            record.source_shown(self.session, self.answer.pk, number, passage.document_title, passage.page)
            for number, passage in shown
        ]

    async def _apologise(self, run: RunningAnswer, reason: str) -> tuple[State, str]:
        """Say the fallback after an error that nobody expected, or once the time is up."""
        try:
            if self.sources is not None:
                await self._say(run, self.sources.brain.fallback)
        except asyncio.CancelledError:
            return State.INTERRUPTED, run.reason or running.SHUTDOWN
        except Exception:
            logger.exception("session %s: the fallback could not be said", self.session.pk)
        return record.STATES[Outcome.FALLBACK], reason
