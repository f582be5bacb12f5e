"""What a session's answers are made of: the persona's rules, its model, and its documents."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.utils import translation
from django.utils.translation import gettext as _

from avatars.models import PersonaVersion
from sessions.brain.answering import Brain
from sessions.brain.guardrails import topics_of, words_of
from sessions.brain.interfaces import (
    FindWritten,
    Finished,
    Message,
    ModelFailure,
    Passage,
    Search,
    Stream,
    Usage,
    Written,
)
from sessions.models import StreamingSession


@dataclass(frozen=True)
class Sources:
    """What one answer is made of."""

    brain: Brain
    stream: Stream
    search: Search
    find_written: FindWritten
    service: str
    model: str
    input_price: Decimal = Decimal(0)  # credits per million tokens
    output_price: Decimal = Decimal(0)

    def cost(self, usage: Usage) -> Decimal:
        """Return the price of an answer in credits."""
        priced = usage.prompt_tokens * self.input_price + usage.completion_tokens * self.output_price
        return (priced / 1_000_000).quantize(Decimal("0.000001"))


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
    version = session.version
    assert version is not None  # sessions have one since before there were brains

    async def search(question: str) -> Sequence[Passage]:
        return ()

    async def find_written(question: str) -> Written | None:
        return None

    async def stream(messages: Sequence[Message]) -> AsyncGenerator[str | Finished, None]:
        raise ModelFailure("no_service", can_retry=False)
        yield ""

    return Sources(brain_of(version), stream, search, find_written, "", "")
