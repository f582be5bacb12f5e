"""Client of a model service that speaks OpenAI's API.

It uses the `openai` package over the portal's own transport, and without the package's retries: callers decide whether
to try again. Importing the package takes a second or two, so that happens in a thread: when a session begins that needs
it, else at the first call.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import httpx

from heygen_portal.providers.contract.model_errors import ModelError, ModelGarbled, ModelRefused, ModelUnreachable
from heygen_portal.providers.http import calls, pool
from heygen_portal.providers.http.client import CONNECT_SECONDS, tls_context
from heygen_portal.providers.http.transport import AiohttpTransport
from heygen_portal.providers.openai.completion import Completion
from heygen_portal.providers.openai.messages import ChatDelta, Message, Moderation, ToolSpec
from heygen_portal.runtime import client_address

if TYPE_CHECKING:
    import openai

# Parameters that some services refuse, and what they take instead.
REPLACEMENTS = {"max_tokens": "max_completion_tokens", "temperature": "", "stream_options": ""}
DRAIN_SECONDS = 0.2
MAX_RETRY_AFTER_S = 3600
MAX_CODE_CHARACTERS = 60
# The package imports these where they are first used, which would stop the event loop.
PARTS = ("resources.chat.completions", "resources.embeddings", "resources.models", "resources.moderations")


class ModelClient:
    """Sends requests with a service's key. Raises only ModelError.

    `first_token_timeout_s` limits the wait for the first token, and for each further one; `total_timeout_s` limits a
    whole call.
    """

    def __init__(self, base_url: str, api_key: str, *, first_token_timeout_s: float, total_timeout_s: float) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._first_token_timeout_s = first_token_timeout_s
        self._total_timeout_s = total_timeout_s
        timeout = httpx.Timeout(total_timeout_s, connect=CONNECT_SECONDS)
        self._http = httpx.AsyncClient(transport=AiohttpTransport(tls_context()), timeout=timeout)
        self._sdk: openai.AsyncOpenAI | None = None
        self._refused: dict[str, set[str]] = {}  # parameters by model

    @classmethod
    def shared(
        cls, base_url: str, api_key: str, *, first_token_timeout_s: float, total_timeout_s: float
    ) -> ModelClient:
        """Return this event loop's client with warm connections."""
        timeouts = {"first_token_timeout_s": first_token_timeout_s, "total_timeout_s": total_timeout_s}
        key = ("model", base_url, api_key, *timeouts.values())
        return pool.shared(key, lambda: cls(base_url, api_key, **timeouts))

    async def chat(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int,
        temperature: float = 0.0,
    ) -> AsyncGenerator[ChatDelta]:
        """Yield text as it comes, then calls of tools, then `Finished`.

        Closing the generator closes the request.
        """
        loop = asyncio.get_running_loop()
        sdk = await self._open()
        began = loop.time()
        until, ends_at = began + self._first_token_timeout_s, began + self._total_timeout_s
        completion = Completion.of(messages)
        stream: openai.AsyncStream[Any] | None = None
        try:
            with calls.measured("model", "POST", "/chat/completions"):
                async with _within(min(until, ends_at)):
                    stream = await self._start(
                        sdk,
                        {
                            "max_tokens": max_tokens,
                            "temperature": temperature,
                            "stream_options": {"include_usage": True},
                        },
                        model=model,
                        messages=[_as_sent(message) for message in messages],
                        **({"tools": [_tool(tool) for tool in tools]} if tools else {}),
                    )
            while not completion.is_complete:
                if completion.has_begun:
                    until = loop.time() + self._first_token_timeout_s
                async with _within(min(until, ends_at), has_begun=True):
                    chunk = await anext(stream, None)
                    texts = [] if chunk is None else completion.add(chunk)
                for text in texts:
                    yield text
                if chunk is None:
                    break
            for part in completion.ending():
                yield part
            with suppress(ModelError):  # what follows keeps the connection usable
                async with _within(loop.time() + DRAIN_SECONDS):
                    while await anext(stream, None) is not None:
                        pass
        finally:
            if stream is not None:
                await stream.close()

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector for each text."""
        async with self._call("/embeddings"):
            sdk = await self._open()
            answer = await sdk.embeddings.create(model=model, input=[_sendable(text) for text in texts])
            found = [list(map(float, entry.embedding)) for entry in sorted(answer.data, key=lambda entry: entry.index)]
        is_usable = len(found) == len(texts) and len({len(vector) for vector in found}) <= 1
        if not is_usable or not all(math.isfinite(value) for vector in found for value in vector):
            raise ModelGarbled("the service returned no usable vectors")
        return found

    async def moderate(self, model: str, text: str) -> Moderation:
        async with self._call("/moderations"):
            sdk = await self._open()
            (result,) = (await sdk.moderations.create(model=model, input=_sendable(text))).results
            categories = result.categories.model_dump(by_alias=True)
            return Moderation(bool(result.flagged), tuple(sorted(name for name, is_on in categories.items() if is_on)))

    async def models(self) -> list[str]:
        """Return the names of the service's models."""
        async with self._call("/models", method="GET"):
            sdk = await self._open()
            return sorted(str(entry.id) for entry in (await sdk.models.list()).data)

    async def aclose(self) -> None:
        await self._http.aclose()

    @asynccontextmanager
    async def _call(self, path: str, *, method: str = "POST") -> AsyncIterator[None]:
        ends_at = asyncio.get_running_loop().time() + self._total_timeout_s
        with calls.measured("model", method, path):
            async with _within(ends_at):
                yield

    async def _open(self) -> openai.AsyncOpenAI:
        if not (client_address.is_api_url(self._base_url) and client_address.is_safe_for_keys(self._base_url)):
            raise ModelUnreachable("the service's address is no web address, or not https: correct it in the admin")
        if self._sdk is None:
            await load_package()
            package = import_module("openai")
            self._sdk = package.AsyncOpenAI(
                base_url=self._base_url, api_key=self._api_key, http_client=self._http, max_retries=0
            )
        assert self._sdk is not None
        return self._sdk

    async def _start(
        self, sdk: openai.AsyncOpenAI, limits: Mapping[str, Any], *, model: str, **request: Any
    ) -> openai.AsyncStream[Any]:
        """Request a completion, again without a parameter that the model refuses."""
        import openai

        refused = self._refused.setdefault(model, set())
        while True:
            sent = {REPLACEMENTS[name] if name in refused else name: value for name, value in limits.items()}
            sent.pop("", None)
            try:
                stream: openai.AsyncStream[Any] = await sdk.chat.completions.create(
                    model=model, stream=True, **request, **sent
                )
                return stream
            except openai.BadRequestError as exc:
                if exc.param is None or exc.param not in limits or exc.param in refused:
                    raise
                refused.add(exc.param)


async def load_package() -> None:
    """Import the package in a thread."""

    def load() -> None:
        for part in PARTS:
            import_module(f"openai.{part}")

    await asyncio.to_thread(load)


@asynccontextmanager
async def _within(deadline: float, *, has_begun: bool = False) -> AsyncIterator[None]:
    """Limit a wait, and raise only ModelError.

    The package's own errors may quote what was sent, so they are left out.
    """
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except ModelError:
        raise
    except Exception as exc:  # noqa: BLE001 - turned into our own, whatever the service made the package raise
        raise _error(exc, has_begun=has_begun) from None


def _error(exc: Exception, *, has_begun: bool) -> ModelError:
    import openai

    match exc:
        case openai.APITimeoutError() | TimeoutError():
            return ModelUnreachable("the service did not respond in time")
        case openai.APIConnectionError():
            return ModelGarbled("the response was cut") if has_begun else ModelUnreachable("no connection")
        case openai.APIStatusError():
            return _refusal(exc)
        case openai.APIError():
            return ModelRefused("the service reported an error", status=500)
    return ModelGarbled(f"the response makes no sense ({type(exc).__name__})")


def _refusal(exc: openai.APIStatusError) -> ModelRefused:
    code = exc.code if isinstance(exc.code, str) and exc.code.isascii() and exc.code.isprintable() else ""
    return ModelRefused(
        f"the service refused with HTTP {exc.status_code}",
        status=exc.status_code,
        code=code[:MAX_CODE_CHARACTERS],
        retry_after_s=_retry_after(exc.response.headers.get("retry-after", "")),
    )


def _retry_after(header: str) -> float | None:
    """Return the seconds of a Retry-After header. A date is not understood."""
    try:
        seconds = float(header)
    except ValueError:
        return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds >= 0 else None


def _as_sent(message: Message) -> dict[str, Any]:
    sent: dict[str, Any] = {"role": message.role, "content": _sendable(message.content)}
    if message.tool_calls:
        sent["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        sent["tool_call_id"] = message.tool_call_id
    return sent


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _sendable(text: str) -> str:
    """Return text that UTF-8 can carry: half a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
