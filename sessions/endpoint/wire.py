"""Chat completions of OpenAI's API: what is read of a request, and what is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import JsonResponse

from heygen_portal.providers.openai.messages import Usage

MAX_BODY_BYTES = 256 * 1024
MAX_MODEL_CHARACTERS = 255
DONE = b"data: [DONE]\n\n"


class Refused(Exception):
    """A request that is answered with an error. The message is for programs and quotes nothing of the request."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def response(self) -> JsonResponse:
        response = JsonResponse(self.body, status=self.status, headers={"Cache-Control": "no-store"})
        if self.retry_after_s is not None:
            response.headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 405:
            response.headers["Allow"] = "POST"
        return response


@dataclass(frozen=True)
class Asked:
    """What counts of a request. Its other messages and options are claims, and count for nothing."""

    text: str  # the last message of the user
    model: str
    is_stream: bool
    has_usage: bool


def parse(body: bytes) -> Asked:
    """Read a request. Raises Refused."""
    if len(body) > MAX_BODY_BYTES:
        raise Refused(413, f"The body has more than {MAX_BODY_BYTES} bytes.")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON.") from None
    if not isinstance(given, dict):
        raise Refused(400, "The body is not a JSON object.")
    model = given.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_CHARACTERS:
        raise Refused(400, "A model is required.", param="model")
    if given.get("n", 1) not in (1, None):
        raise Refused(400, "There is one answer.", param="n")
    is_stream = _boolean(given, "stream")
    options = given.get("stream_options")
    has_usage = not is_stream or (isinstance(options, dict) and _boolean(options, "include_usage"))
    return Asked(_last_text(given.get("messages")), model, is_stream, has_usage)


def chunk(identity: Mapping[str, Any], delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    """Return an event of a streamed answer."""
    return _event(identity, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])


def usage_chunk(identity: Mapping[str, Any], usage: Usage) -> bytes:
    return _event(identity, [], usage=_usage(usage))


def whole(identity: Mapping[str, Any], text: str, usage: Usage) -> dict[str, Any]:
    """Return an answer that is not streamed."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**identity, "object": "chat.completion", "choices": [choice], "usage": _usage(usage)}


def _event(identity: Mapping[str, Any], choices: list[dict[str, Any]], **more: Any) -> bytes:
    data = {**identity, "object": "chat.completion.chunk", "choices": choices, **more}
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode("utf-8", "replace")


def _usage(usage: Usage) -> dict[str, int]:
    read, written = usage.prompt_tokens, usage.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _boolean(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused(400, f"{name} is true or false.", param=name)
    return bool(value)


def _last_text(messages: Any) -> str:
    """Return the text of the user's last message. Raises Refused."""
    listed = messages if isinstance(messages, list) else []
    content = next(
        (m.get("content") for m in reversed(listed) if isinstance(m, dict) and m.get("role") == "user"), None
    )
    if isinstance(content, list):  # of parts; only texts are understood
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = " ".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str) or not content.strip():
        raise Refused(400, "The messages have no text of a user.", param="messages")
    # The database stores neither; half a surrogate pair cannot be sent either.
    return content.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
