"""Models of customers: secrets, LLM configurations, and the calls of their endpoints."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
CONNECT_SECONDS: Final = 5.0
TOKEN_SECONDS: Final = 10.0  # until the first token, and between two
DATA: Final = "data:"
DONE: Final = "[DONE]"


@dataclass(frozen=True)
class Secret:
    id: str
    name: str
    kind: str
    created_at: float
    value: str = field(repr=False)


@dataclass(frozen=True)
class Configuration:
    """Where a customer's model is. Its secret may be deleted while it is used: nothing warns of that."""

    id: str
    display_name: str
    model_name: str
    secret_id: str
    base_url: str
    created_at: float
    updated_at: float


class EndpointFailed(Exception):
    """A customer's endpoint gave no whole answer. The message says what was wrong."""


class CustomModels:
    """The account's secrets and configurations, the oldest first."""

    def __init__(self) -> None:
        self.secrets: dict[str, Secret] = {}
        self.configurations: dict[str, Configuration] = {}
        self._http: aiohttp.ClientSession | None = None

    def clear(self) -> None:
        self.secrets.clear()
        self.configurations.clear()

    async def close(self) -> None:
        if self._http:
            await self._http.close()

    async def answer(self, configuration_id: str, messages: Sequence[dict[str, str]]) -> AsyncGenerator[str]:
        """Stream the answer of a session's model. Leaving the stream closes the request. Raises EndpointFailed."""
        configuration = self.configurations.get(configuration_id)
        secret = self.secrets.get(configuration.secret_id) if configuration else None
        if configuration is None or secret is None:
            raise EndpointFailed("its configuration was deleted")
        if self._http is None:
            self._http = aiohttp.ClientSession()
        url = f"{configuration.base_url.rstrip('/')}/chat/completions"
        body = {"model": configuration.model_name, "messages": list(messages), "stream": True}
        headers = {"Authorization": f"Bearer {secret.value}"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=TOKEN_SECONDS)
        try:
            async with self._http.post(
                url, json=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise EndpointFailed(f"HTTP {response.status}")
                async for text in _texts(response):
                    yield text
        except TimeoutError as exc:
            raise EndpointFailed("no answer in time") from exc
        except (aiohttp.ClientError, ValueError) as exc:
            raise EndpointFailed(type(exc).__name__) from exc


async def _texts(response: aiohttp.ClientResponse) -> AsyncGenerator[str]:
    """Yield the texts of a streamed completion. Raises EndpointFailed."""
    async for line in response.content:
        event = line.decode("utf-8", "replace").strip()
        if not event.startswith(DATA):
            continue
        data = event.removeprefix(DATA).strip()
        if data == DONE:
            return
        if text := _text(data):
            yield text
    raise EndpointFailed("the answer was cut")


def _text(data: str) -> str:
    try:
        chunk: Any = json.loads(data)
        if "error" in chunk:
            raise EndpointFailed("an error in the stream")
        choices = chunk["choices"]
        text = choices[0]["delta"].get("content") if choices else ""
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as exc:
        raise EndpointFailed("a chunk makes no sense") from exc
    return text if isinstance(text, str) else ""


class Reply:
    """One answer of a customer's model: sentences that are spoken as they come, as one utterance."""

    def __init__(self, source: str | None) -> None:
        self.source = source
        self.text = ""  # all that came
        self.asking: asyncio.Task[None] | None = None
        self.is_complete = False
        self.has_begun = self._has_ended = False
        self.queued = 0  # sentences that nobody has heard yet
        self.is_speaking = False
        self._unsaid = ""

    def add(self, text: str) -> list[str]:
        """Add a piece of text. Return the sentences that are whole now."""
        self.text += text
        self._unsaid += text
        *whole, self._unsaid = _sentences(self._unsaid)
        return whole

    def complete(self) -> list[str]:
        """Return the last sentence, if there is one."""
        self.is_complete = True
        rest, self._unsaid = self._unsaid.strip(), ""
        return [rest] if rest else []

    def cut(self) -> None:
        """Close the request, and say nothing more."""
        if self.asking:
            self.asking.cancel()
        self.is_complete, self.queued, self._unsaid = True, 0, ""

    def ends_now(self) -> bool:
        """Return True once, when all has been said."""
        is_over = self.has_begun and self.is_complete and not (self.queued or self.is_speaking or self._has_ended)
        self._has_ended = self._has_ended or is_over
        return is_over


def _sentences(text: str) -> list[str]:
    """Cut a text after sentence ends that a space follows. The last part may be unfinished."""
    parts, begin = [], 0
    for index in range(1, len(text)):
        if text[index].isspace() and text[index - 1] in ".!?…":
            if sentence := text[begin:index].strip():
                parts.append(sentence)
            begin = index
    return [*parts, text[begin:]]
