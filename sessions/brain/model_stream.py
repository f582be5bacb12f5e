"""The model of a service as a stream of text for an answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from heygen_portal.providers.contract.model_errors import ModelError, ModelGarbled, ModelRefused
from heygen_portal.providers.openai.client import ModelClient
from heygen_portal.providers.openai.messages import Finished, Message, TextDelta, ToolCall, ToolSpec
from sessions.brain.interfaces import ModelFailure, Moderate, Stream

# The code of a moderation that failed. Then nothing is answered.
MODERATION_FAILED = "moderation_failed"
# Refusals that may be gone a moment later: time-out, conflict, too many requests, and errors of the service.
TRANSIENT = frozenset({408, 409, 425, 429})


def stream_of(client: ModelClient, model: str, max_tokens: int, tools: Sequence[ToolSpec] = ()) -> Stream:
    """Return the stream of a service's model."""

    async def stream(messages: Sequence[Message]) -> AsyncGenerator[str | ToolCall | Finished, None]:
        try:
            async with aclosing(client.chat(model, messages, tools=tools, max_tokens=max_tokens)) as deltas:
                async for delta in deltas:
                    match delta:
                        case TextDelta(text):
                            yield text
                        case ToolCall() | Finished():
                            yield delta
        except ModelError as exc:
            raise _failure(exc) from exc

    return stream


def moderation_of(client: ModelClient, model: str) -> Moderate:
    """Return the check by a service's moderation model."""

    async def moderate(text: str) -> bool:
        try:
            return (await client.moderate(model, text)).flagged
        except ModelError as exc:
            raise ModelFailure(MODERATION_FAILED, can_retry=False) from exc

    return moderate


def _failure(exc: ModelError) -> ModelFailure:
    if isinstance(exc, ModelRefused):
        can_retry = exc.status in TRANSIENT or exc.status >= 500
        return ModelFailure(f"refused_{exc.status}", can_retry=can_retry, retry_after_s=exc.retry_after_s or 0)
    if isinstance(exc, ModelGarbled):
        return ModelFailure("garbled", has_cost=True)
    return ModelFailure("unreachable")
