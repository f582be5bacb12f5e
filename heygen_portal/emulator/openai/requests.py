"""Requests of the OpenAI API, checked as the service checks them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from heygen_portal.emulator.openai.errors import InvalidRequest
from heygen_portal.emulator.sessions.states import Refusal

CHAT: Final = "emulated-chat"
OBEDIENT: Final = "emulated-obedient"
EMBEDDING: Final = "emulated-embedding"
MODERATION: Final = "emulated-moderation"
MODELS: Final = (CHAT, OBEDIENT, EMBEDDING, MODERATION)
ROLES: Final = ("system", "developer", "user", "assistant", "tool")
MAX_TOKENS: Final = 4096
MAX_STOPS: Final = 4
MAX_INPUTS: Final = 2048
MAX_DIMENSIONS: Final = 3072


@dataclass(frozen=True)
class Call:
    """A call of a tool, with its arguments as JSON."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    role: str
    content: str
    calls: tuple[str, ...] = ()  # names of the tools that the assistant called


@dataclass(frozen=True)
class Tool:
    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ChatRequest:
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    required_tool: str  # a name, "required" for any, "none", or "auto"
    max_tokens: int
    stops: tuple[str, ...]
    is_stream: bool
    has_usage: bool  # at the end of a stream
    is_json: bool
    schema: Mapping[str, Any] | None

    @property
    def system(self) -> str:
        return "\n".join(message.content for message in self.messages if message.role in ("system", "developer"))

    @property
    def question(self) -> str:
        """What the user said last."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def turn(self) -> Sequence[Message]:
        """The messages after the user's last one."""
        last = max((index for index, message in enumerate(self.messages) if message.role == "user"), default=-1)
        return self.messages[last + 1 :]


async def read(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Refusal("invalid_request", "We could not parse the JSON body of your request") from None
    if not isinstance(body, dict):
        raise Refusal("invalid_request", "the body is not a JSON object")
    return body


def model_of(body: Mapping[str, Any], allowed: Sequence[str]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("model", "you must provide a model parameter")
    if model not in allowed:
        raise InvalidRequest("model", f"{model!r} does not exist", "model_not_found")
    return model


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Check a request of a completion. Raises Refusal."""
    response_format = _object(body, "response_format")
    kind = response_format.get("type", "text")
    if kind not in ("text", "json_object", "json_schema"):
        raise InvalidRequest("response_format", "the type is text, json_object or json_schema")
    messages = _messages(body.get("messages"))
    if kind == "json_object" and not any("json" in message.content.lower() for message in messages):
        raise InvalidRequest("messages", "must contain the word 'json' in some form")
    if body.get("n") not in (None, 1):
        raise InvalidRequest("n", "only one choice is made")
    return ChatRequest(
        model=model_of(body, (CHAT, OBEDIENT)),
        messages=messages,
        tools=_tools(body.get("tools")),
        required_tool=_required_tool(body.get("tool_choice")),
        max_tokens=_limit(body),
        stops=_stops(body.get("stop")),
        is_stream=body.get("stream") is True,
        has_usage=_object(body, "stream_options").get("include_usage") is True,
        is_json=kind != "text",
        schema=_object(_object(response_format, "json_schema"), "schema") if kind == "json_schema" else None,
    )


def inputs(value: Any) -> list[str]:
    """Return the texts of `input`: one or several, each as text or as tokens. Raises Refusal."""
    if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], int)):
        value = [value]
    if not isinstance(value, list) or not 0 < len(value) <= MAX_INPUTS:
        raise InvalidRequest("input", f"is a text or a list of up to {MAX_INPUTS}")
    texts = [" ".join(map(str, item)) if isinstance(item, list) else item for item in value]
    if not all(isinstance(text, str) and text for text in texts):
        raise InvalidRequest("input", "cannot be an empty text")
    return texts


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise InvalidRequest("messages", "is a list of at least one message")
    messages = []
    for index, item in enumerate(value):
        at = f"messages[{index}]"
        if not isinstance(item, dict) or item.get("role") not in ROLES:
            raise InvalidRequest(f"{at}.role", f"is one of {', '.join(ROLES)}")
        calls = tuple(_name(_object(call, "function")) for call in item.get("tool_calls") or [])
        content = item.get("content")
        if content is None and not calls:
            raise InvalidRequest(f"{at}.content", "is a text")
        if item["role"] == "tool" and not isinstance(item.get("tool_call_id"), str):
            raise InvalidRequest(f"{at}.tool_call_id", "is missing")
        messages.append(Message(item["role"], _text(content, f"{at}.content"), calls))
    return tuple(messages)


def _text(content: Any, at: str) -> str:
    """Return a message's text, which may come in parts."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise InvalidRequest(at, "is a text or a list of parts")
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
    if len(texts) != len(content) or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest(at, "only parts of type text are understood")
    return "\n".join(map(str, texts))


def _tools(value: Any) -> tuple[Tool, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidRequest("tools", "is a list")
    tools = []
    for index, item in enumerate(value):
        function = _object(item, "function") if isinstance(item, dict) and item.get("type") == "function" else {}
        if not (name := _name(function)):
            raise InvalidRequest(f"tools[{index}].function.name", "is missing")
        tools.append(Tool(name, str(function.get("description") or ""), _object(function, "parameters")))
    return tuple(tools)


def _required_tool(value: Any) -> str:
    if isinstance(value, dict):
        return _name(_object(value, "function"))
    return value if value in ("none", "required") else "auto"


def _limit(body: Mapping[str, Any]) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        if (value := body.get(name)) is not None:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidRequest(name, "is a whole number of 1 or more")
            return min(value, MAX_TOKENS)
    return MAX_TOKENS


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value or []
    if not isinstance(stops, list) or len(stops) > MAX_STOPS or not all(isinstance(s, str) and s for s in stops):
        raise InvalidRequest("stop", f"is a text or a list of up to {MAX_STOPS}")
    return tuple(stops)


def _object(body: Any, name: str) -> dict[str, Any]:
    value = body.get(name) if isinstance(body, dict) else None
    if value is not None and not isinstance(value, dict):
        raise InvalidRequest(name, "is an object")
    return value or {}


def _name(function: Mapping[str, Any]) -> str:
    name = function.get("name")
    return name if isinstance(name, str) else ""
