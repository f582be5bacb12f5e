"""Try each call that a model service is used for, and report which ones fail and why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from avatars.models import ModelService
from heygen_portal.providers.contract.model_errors import ModelError, ModelRefused, ModelUnreachable
from heygen_portal.providers.openai.client import ModelClient
from heygen_portal.providers.openai.messages import Message, ToolCall, ToolSpec

SAMPLE = "Hello"
MAX_TOKENS = 16
MAX_CALL_TOKENS = 100  # fewer may cut a call, or the thoughts before it
SHOWN_MODELS = 20
TOOL = ToolSpec("say_hello", "Says hello to the user.", {"type": "object", "properties": {}})


@dataclass(frozen=True)
class Call:
    """The result of one call.

    `why` is empty, `key` (not accepted), `model` (none of this name), `limit` (too many requests, or no credit left),
    `refused`, `silent` (no usable response), `unlisted` (the service's list lacks the model), `uncalled` (the model
    called no tool), or `unreadable` (the stored key cannot be decrypted). `detail` is the service's status and code.
    """

    code: str
    model: str = ""
    took_ms: int = 0
    found: str = ""
    why: str = ""
    detail: str = ""


async def check(service: ModelService) -> list[Call]:
    """Try the calls for which the service has a model, in parallel. Stores nothing; costs a few tokens."""
    calls: list[tuple[str, str, Callable[[ModelClient, str], Awaitable[str]]]] = [
        ("chat", service.chat_model, _chat),
        ("tools", service.chat_model, _tools),
        ("embeddings", service.embeddings_model, _embed),
        ("moderation", service.moderation_model, _moderate),
        ("transcription", service.transcription_model, _is_listed),
        ("speech", service.speech_model, _is_listed),
    ]
    try:
        async with _opened(service) as client:
            tried = (_try(client, code, model, call) for code, model, call in calls if model)
            return list(await asyncio.gather(_try(client, "models", "", _models), *tried))
    except ModelUnreachable:
        return [Call("models", why="unreadable")]


async def list_models(service: ModelService) -> list[str]:
    """Return the names of the service's models. Raises ModelError."""
    async with _opened(service) as client:
        return await client.models()


@asynccontextmanager
async def _opened(service: ModelService) -> AsyncIterator[ModelClient]:
    client = service.own_client()
    try:
        yield client
    finally:
        await client.aclose()


async def _try(client: ModelClient, code: str, model: str, call: Callable[[ModelClient, str], Awaitable[str]]) -> Call:
    began = time.monotonic()
    try:
        found, why, detail = await call(client, model), "", ""
    except _Unusable as exc:
        found, why, detail = "", str(exc), ""
    except ModelError as exc:
        found, why = "", _why(exc)
        detail = f"HTTP {exc.status} {exc.code}".strip() if isinstance(exc, ModelRefused) else ""
    return Call(code, model, round((time.monotonic() - began) * 1000), found, why, detail)


def _why(exc: ModelError) -> str:
    if not isinstance(exc, ModelRefused):
        return "silent"
    if exc.is_key_refused:
        return "key"
    if exc.status == 404 or exc.code == "model_not_found":
        return "model"
    return "limit" if exc.status in (402, 429) else "refused"


class _Unusable(Exception):
    """The service responds, but not as it should. The message is the code."""


async def _models(client: ModelClient, model: str) -> str:
    names = await client.models()
    return ", ".join(names[:SHOWN_MODELS]) + (" …" if len(names) > SHOWN_MODELS else "")


async def _chat(client: ModelClient, model: str) -> str:
    async for _part in client.chat(model, [Message("user", SAMPLE)], max_tokens=MAX_TOKENS):
        pass
    return ""


async def _tools(client: ModelClient, model: str) -> str:
    message = Message("user", "Call the tool say_hello.")
    parts = client.chat(model, [message], tools=[TOOL], max_tokens=MAX_CALL_TOKENS)
    called = [part.name async for part in parts if isinstance(part, ToolCall)]
    if not called:
        raise _Unusable("uncalled")
    return ", ".join(called)


async def _embed(client: ModelClient, model: str) -> str:
    (vector,) = await client.embed(model, [SAMPLE])
    return str(len(vector))


async def _moderate(client: ModelClient, model: str) -> str:
    await client.moderate(model, SAMPLE)
    return ""


async def _is_listed(client: ModelClient, model: str) -> str:
    """Look for a model that would have to hear or speak to be tried."""
    if model not in await client.models():
        raise _Unusable("unlisted")
    return ""
