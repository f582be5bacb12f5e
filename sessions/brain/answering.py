"""Answer one line of a user: a written answer, or the model's sentences, each as soon as it is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from avatars.documents import words
from heygen_portal.providers.openai.messages import Finished, Message, ToolCall, Usage
from sessions.brain import prompt
from sessions.brain.citations import NO_ANSWER, take_out
from sessions.brain.guardrails import Guardrails, Topic
from sessions.brain.interfaces import FindWritten, ModelFailure, Moderate, Passage, Search, Stream
from sessions.brain.masking import mask
from sessions.brain.sentences import SentenceCutter, is_whole
from sessions.brain.tools import calls
from sessions.brain.tools.calls import Called, Calls, Tool
from sessions.brain.tools.user_requests import UserRequests

MAX_RETRY_WAIT_S = 2.0
ATTEMPTS = 2
# A question with at most so many words that carry a topic may go on from the last one.
FOLLOW_UP_WORDS = 2
MAX_PASSAGES = 6
# Callers give an answer so much time, in which it may ask its model several times, and then say the fallback.
LONGEST_ANSWER = timedelta(minutes=3, seconds=30)
TOO_SLOW = "too_slow"  # reason of an end by that limit
FLAGGED = "moderation"  # reason of an end by the moderation model
EMPTY = "empty"  # code of a model's answer without words


class Outcome(StrEnum):
    """How an answer ended that was not interrupted."""

    ANSWERED = "answered"
    WRITTEN = "written"  # by staff
    NO_ANSWER = "no_answer"  # the passages have none
    REFUSED = "refused"  # a topic to refuse
    WITHHELD = "withheld"  # the rest had words that never leave
    TOO_LONG = "too_long"  # the rest was left out
    FALLBACK = "fallback"  # the model failed


@dataclass(frozen=True)
class Brain:
    """How a persona answers. Sentences are in its language."""

    language: str
    fallback: str
    refusal: str
    unknown: str
    instructions: str = ""
    filler: str = ""
    filler_after_s: float = 0
    topics: Sequence[Topic] = ()
    forbidden: Sequence[str] = ()
    longest_answer: int = 0
    is_masking: bool = True
    has_documents: bool = False
    tools: Sequence[Tool] = ()
    moderate: Moderate | None = None

    @property
    def tool_names(self) -> frozenset[str]:
        return frozenset(tool.spec.name for tool in self.tools)

    @property
    def in_prompt(self) -> prompt.Persona:
        return prompt.Persona(self.instructions, self.language, self.topics, self.refusal, self.has_documents)


@dataclass(frozen=True)
class Searched:
    """The passages that were found. A sentence cites the first one as 1."""

    passages: Sequence[Passage]


@dataclass(frozen=True)
class Asked:
    """The model is asked, for the second time after a failure."""

    prompt_version: str
    characters: int
    after: str = ""  # the failure's code


@dataclass(frozen=True)
class Used:
    """The tokens of all requests so far, each of which has ended."""

    usage: Usage


@dataclass(frozen=True)
class ToolBegan:
    """The model calls a tool. `arguments` is what the model wrote."""

    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True)
class ToolCalled:
    """A call has its result."""

    called: Called


@dataclass(frozen=True)
class Filler:
    """Words to say while the answer takes its time."""

    text: str


@dataclass(frozen=True)
class Sentence:
    """A sentence to say, and the numbers of the passages that it cites."""

    text: str
    citations: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ended:
    """The end of an answer. `reason` is for staff: the failure's code, or the topic's name."""

    outcome: Outcome
    reason: str = ""
    usage: Usage = field(default_factory=Usage)


Part = Searched | Asked | Used | ToolBegan | ToolCalled | Filler | Sentence | Ended


async def answer(
    question: str,
    said: Sequence[Message],
    brain: Brain,
    *,
    stream: Stream,
    search: Search,
    find_written: FindWritten,
    today: date,
) -> AsyncGenerator[Part, None]:
    """Yield the parts of an answer; the last one is `Ended`.

    At least one sentence is said, and each has an end. Closing the generator closes the request to the model.
    """
    parts = _answer(question, said, brain, stream, search, find_written, today)
    async with aclosing(_with_filler(parts, brain)) as timed:
        async for part in timed:
            yield part


async def _answer(
    question: str,
    said: Sequence[Message],
    brain: Brain,
    stream: Stream,
    search: Search,
    find_written: FindWritten,
    today: date,
) -> AsyncGenerator[Part, None]:
    guardrails = Guardrails(brain.forbidden, brain.topics, brain.longest_answer, brain.in_prompt.protected)
    if topic := guardrails.refused_topic(question):
        yield Sentence(brain.refusal)
        yield Ended(Outcome.REFUSED, topic.name)
        return
    if brain.is_masking:
        question, said = mask(question), [_masked(line) for line in said]
    if brain.moderate:
        try:
            is_flagged = await brain.moderate(question)
        except ModelFailure as exc:
            yield Sentence(brain.fallback)
            yield Ended(Outcome.FALLBACK, exc.code)
            return
        if is_flagged:
            yield Sentence(brain.refusal)
            yield Ended(Outcome.REFUSED, FLAGGED)
            return
    if written := await find_written(question):
        cutter = SentenceCutter(brain.language)
        for sentence in [*cutter.feed(written.text), *cutter.end()]:
            yield Sentence(sentence)
        yield Ended(Outcome.WRITTEN)
        return
    passages = await _found(question, said, brain, search) if brain.has_documents else ()
    yield Searched(passages)
    messages = prompt.messages(brain.in_prompt, question, said, passages, today)
    own_words = prompt.own_words(brain.in_prompt, question, said, today)
    asked_for = UserRequests(own_words, stream, prompt.estimated_tokens(sum(len(each.content) for each in own_words)))
    async with aclosing(_from_model(messages, brain, guardrails, stream, passages, asked_for)) as parts:
        async for part in parts:
            yield part


def _masked(line: Message) -> Message:
    """Mask what a user said. The avatar's lines have only what left for the model, or what staff wrote."""
    return Message(line.role, mask(line.content)) if line.role == "user" else line


async def _found(question: str, said: Sequence[Message], brain: Brain, search: Search) -> Sequence[Passage]:
    """Return passages for a question. One of few words, such as "And for children?", goes on from the last one."""
    last = next((line.content for line in reversed(said) if line.role == "user"), "")
    if not last or len(words.of_query(question, [brain.language])) > FOLLOW_UP_WORDS:
        return await search(question)
    return (await search(f"{last} {question}", question))[:MAX_PASSAGES]


async def _from_model(
    messages: Sequence[Message],
    brain: Brain,
    guardrails: Guardrails,
    stream: Stream,
    passages: Sequence[Passage],
    asked_for: UserRequests,
) -> AsyncGenerator[Part, None]:
    version, made = prompt.version(brain.in_prompt), Calls(brain.tools, guardrails.may_leave)
    used, failed, attempt, has_spoken = Usage(), "", 0, False
    while True:
        attempt += 1
        characters = sum(len(message.content) for message in messages)
        yield Asked(version, characters, after=failed)
        reading = _Reading(brain, guardrails, len(passages), characters, has_spoken_before=has_spoken)
        try:
            async with aclosing(reading.sentences(stream(messages))) as sentences:
                async for sentence in sentences:
                    yield sentence
        except ModelFailure as exc:
            used += reading.usage(exc)
            yield Used(used)
            failed = exc.code
            if not reading.has_spoken and exc.can_retry and attempt < ATTEMPTS:
                await asyncio.sleep(min(exc.retry_after_s, MAX_RETRY_WAIT_S))
                continue
            yield Sentence(brain.fallback)
            yield Ended(Outcome.FALLBACK, failed, used)
            return
        used += reading.usage()
        if not reading.calls:
            yield Ended(reading.outcome, reading.reason, used)
            return
        if made.has_ended():
            yield Sentence(brain.fallback)
            yield Ended(Outcome.FALLBACK, calls.TOO_MANY, used)
            return
        yield Used(used)
        if messages == asked_for.messages:
            asked_for.know(reading.calls)
        messages = [*messages, Message("assistant", reading.text, tuple(reading.calls))]
        for call in reading.calls:
            wanted: ToolCall | None = call
            if made.has_effects(call.name):
                if is_first := not asked_for.is_known:
                    yield Asked(version, asked_for.characters)
                wanted = await _taken(asked_for, call.name)
                if is_first:
                    used += asked_for.usage
                    yield Used(used)
            if wanted:
                yield ToolBegan(wanted.name, wanted.arguments)
            called = await made.make(wanted) if wanted else made.refuse(call, calls.NOT_ASKED)
            yield ToolCalled(called)
            content = called.content
            if called.passages:
                content = prompt.fenced(called.passages, after=len(passages))
                passages = [*passages, *called.passages]
                yield Searched(passages)
            messages.append(Message("tool", content, tool_call_id=call.id))
        attempt, failed, has_spoken = 0, "", has_spoken or reading.has_spoken


async def _taken(asked_for: UserRequests, name: str) -> ToolCall | None:
    """Return a call that the user's own words ask for. A model that does not respond calls nothing."""
    try:
        return await asked_for.take(name)
    except (ModelFailure, TimeoutError):
        return None


class _Reading:
    """Reads one stream of the model."""

    def __init__(
        self, brain: Brain, guardrails: Guardrails, passages: int, characters: int, *, has_spoken_before: bool = False
    ) -> None:
        self._brain, self._guardrails, self._passages = brain, guardrails, passages
        self._characters_asked, self._characters_read = characters, 0
        self._finished: Finished | None = None
        self._is_unanswered = False
        self._has_spoken_before, self.has_spoken = has_spoken_before, False
        self._calls: list[ToolCall] = []
        self.text = ""
        self.outcome, self.reason = Outcome.ANSWERED, ""

    def usage(self, failure: ModelFailure | None = None) -> Usage:
        """Return the tokens that the model told, else an estimate. A request that failed at once has none."""
        if self._finished:
            return self._finished.usage
        if failure and not (failure.has_cost or self._characters_read):
            return Usage()
        asked, read = map(prompt.estimated_tokens, (self._characters_asked, self._characters_read))
        return Usage(asked, read, is_estimated=True)

    @property
    def calls(self) -> list[ToolCall]:
        """The tools that the model calls; none once the answer has ended."""
        return self._calls if self.outcome in (Outcome.ANSWERED, Outcome.NO_ANSWER) else []

    async def sentences(
        self, stream: AsyncGenerator[str | ToolCall | Finished, None]
    ) -> AsyncGenerator[Sentence, None]:
        """Yield what may be said. Raises ModelFailure."""
        async with aclosing(self._whole_sentences(stream)) as found:
            async for each in found:
                cited = take_out(each, self._passages)
                self._is_unanswered = self._is_unanswered or NO_ANSWER in cited.citations
                if not any(sign.isalnum() for sign in cited.text):
                    continue
                if not self._guardrails.lets_out(cited.text):
                    self.outcome = Outcome.WITHHELD
                elif self._brain.moderate and await self._brain.moderate(cited.text):
                    self.outcome, self.reason = Outcome.WITHHELD, FLAGGED
                if self.outcome == Outcome.WITHHELD:
                    yield self._spoken(self._brain.refusal)
                    return
                if self._guardrails.is_too_long_with(cited.text):
                    self.outcome = Outcome.TOO_LONG
                    return
                yield self._spoken(cited.text, tuple(number for number in cited.citations if number != NO_ANSWER))
                if cited.text == self._brain.refusal.strip():
                    self.outcome = Outcome.REFUSED
                    return
        if not (self.has_spoken or self._has_spoken_before or self._calls):
            if not self._is_unanswered:
                raise ModelFailure(EMPTY)
            yield self._spoken(self._brain.unknown)
        if self._is_unanswered:
            self.outcome = Outcome.NO_ANSWER

    def _spoken(self, text: str, citations: tuple[int, ...] = ()) -> Sentence:
        self.has_spoken = True
        return Sentence(text, citations)

    async def _whole_sentences(
        self, stream: AsyncGenerator[str | ToolCall | Finished, None]
    ) -> AsyncGenerator[str, None]:
        """Yield sentences. A last one that the model did not finish is left out."""
        cutter = SentenceCutter(self._brain.language)
        async with aclosing(stream):
            async for delta in stream:
                if isinstance(delta, Finished):
                    self._finished = delta
                    break
                if isinstance(delta, ToolCall):
                    self._characters_read += len(delta.name) + len(delta.arguments)
                    self._calls.append(delta)
                    continue
                self._characters_read += len(delta)
                self.text += delta
                for sentence in cutter.feed(delta):
                    yield sentence
        is_cut = self._finished is None or self._finished.reason == "length"
        for sentence in cutter.end():
            if is_whole(sentence) or not is_cut:
                yield sentence


async def _with_filler(parts: AsyncGenerator[Part, None], brain: Brain) -> AsyncGenerator[Part, None]:
    """Add the filler if the first sentence takes longer than the persona's bound."""
    loop = asyncio.get_running_loop()
    filler_at = loop.time() + brain.filler_after_s if brain.filler else None
    try:
        while True:
            following = asyncio.ensure_future(anext(parts, None))
            try:
                if filler_at is not None:
                    done, _ = await asyncio.wait({following}, timeout=max(0, filler_at - loop.time()))
                    if not done:
                        filler_at = None
                        yield Filler(brain.filler)
                part = await following
            finally:
                if not following.done():
                    following.cancel()
                    await asyncio.wait({following})
            if part is None:
                return
            if isinstance(part, Sentence):
                filler_at = None
            yield part
    finally:
        await parts.aclose()
