"""What a session's answers are made of: the persona's rules, its model, and its documents."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial

from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from avatars.documents import unanswered
from avatars.documents.search import search as find
from avatars.documents.written_answers import find_written_answer
from avatars.models import ModelService, PersonaVersion
from heygen_portal.providers.contract.model_errors import ModelUnreachable
from heygen_portal.providers.openai.messages import Finished, Message, ToolCall, ToolSpec
from heygen_portal.runtime.in_thread import in_thread
from sessions.brain.answering import Brain
from sessions.brain.guardrails import topics_of, words_of
from sessions.brain.interfaces import FindWritten, ModelFailure, Passage, Search, Stream, Written
from sessions.brain.masking import mask
from sessions.brain.model_stream import MODERATION_FAILED, moderation_of, stream_of
from sessions.brain.tools import built_in, own
from sessions.brain.tools.calls import Tool
from sessions.models import SpeechErased, SpeechKey, StreamingSession

# Codes of failures before a request.
NO_SERVICE, NO_KEY = "no_service", "no_key"
# Counts a question that found no answer.
RecordUnanswered = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Sources:
    """What one answer is made of."""

    brain: Brain
    stream: Stream
    search: Search
    find_written: FindWritten
    record_unanswered: RecordUnanswered
    service: ModelService | None


def brain_of(version: PersonaVersion) -> Brain:
    """Return the rules of a persona's version."""
    with translation.override(version.language):
        return Brain(
            language=version.language,
            fallback=version.fallback_sentence or _("I am sorry, I cannot answer right now. Please try again later."),
            refusal=version.refusal_sentence or _("I am sorry, I cannot talk about that."),
            unknown=_("I am sorry, I do not know that."),
            instructions=version.instructions,
            filler=version.filler_sentence,
            filler_after_s=float(version.filler_after_seconds),
            topics=topics_of(version.refused_topics),
            forbidden=words_of(version.forbidden_words),
            longest_answer=version.longest_answer,
            is_masking=version.is_masking,
        )


def load(session: StreamingSession) -> Sources:
    """Return what the answers of a session are made of, from the version of the persona that it runs with."""
    assert session.version_id is not None  # sessions have one since before there were brains
    version = PersonaVersion.objects.select_related("model_service").get(pk=session.version_id)
    library = session.started_with.library_id

    async def record_unanswered(question: str) -> None:
        if library:
            await in_thread(_record_unanswered)(session, library, mask(question), version.language)

    tools = own.of_session(version, session.started_with)
    found = of_version(version, library, session.started_with.library_version, tools)
    return replace(found, record_unanswered=record_unanswered)


def of_version(
    version: PersonaVersion, library: int, library_version: int, own_tools: Sequence[Tool] | None = None
) -> Sources:
    """Return what the answers of a persona's version are made of.

    Without a session, nothing is recorded, and staff's own tools are not really called.
    """
    own_tools = own.stand_ins(version) if own_tools is None else own_tools
    service, language = version.model_service, version.language

    def passages_of(wordings: Sequence[str]) -> Sequence[Passage]:
        found = (find(library, library_version, wording, language=language) for wording in wordings)
        return list({passage.chunk_id: passage for passages in found for passage in passages}.values())

    async def search(*wordings: str) -> Sequence[Passage]:
        return await in_thread(passages_of)(wordings)

    async def find_written(question: str) -> Written | None:
        found = await in_thread(find_written_answer)(library, question, language) if library else None
        return Written(found.answer) if found else None

    async def record_nothing(question: str) -> None:
        pass

    brain = replace(
        brain_of(version),
        has_documents=bool(library),
        tools=[*built_in.tools_of(version, search if library else None), *own_tools],
        moderate=partial(_moderate, service) if version.is_moderated else None,
    )
    specs = [tool.spec for tool in brain.tools]

    def stream(messages: Sequence[Message]) -> AsyncGenerator[str | ToolCall | Finished, None]:
        return model_stream(service, messages, version.longest_answer, specs)

    return Sources(brain, stream, search, find_written, record_nothing, service)


def _record_unanswered(session: StreamingSession, library: int, question: str, language: str) -> None:
    """Count a question, unless the session's speech has just been erased."""
    with suppress(SpeechErased), transaction.atomic():
        SpeechKey.wrapped_for(session.pk)  # an erasure waits
        unanswered.record(library, question, language, session.pk)


async def model_stream(
    service: ModelService | None, messages: Sequence[Message], longest_answer: int, tools: Sequence[ToolSpec] = ()
) -> AsyncGenerator[str | ToolCall | Finished, None]:
    """Stream the model of a service. Raises ModelFailure."""
    if service is None:
        raise ModelFailure(NO_SERVICE, can_retry=False)
    try:
        client = service.client()
    except ModelUnreachable as exc:
        raise ModelFailure(NO_KEY, can_retry=False) from exc
    # A token is at least a character, so an answer of the longest length fits.
    async with aclosing(stream_of(client, service.chat_model, longest_answer, tools)(messages)) as deltas:
        async for delta in deltas:
            yield delta


async def _moderate(service: ModelService | None, text: str) -> bool:
    if service is None or not service.moderation_model:
        raise ModelFailure(MODERATION_FAILED, can_retry=False)
    try:
        client = service.client()
    except ModelUnreachable as exc:
        raise ModelFailure(NO_KEY, can_retry=False) from exc
    return await moderation_of(client, service.moderation_model)(text)
