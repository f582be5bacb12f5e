"""Routes of the OpenAI API: models, chat completions, embeddings, moderations."""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from heygen_portal.emulator.heygen.service import HEYGEN
from heygen_portal.emulator.openai import embeddings, moderation, replies, requests, streaming
from heygen_portal.emulator.openai.errors import COMPLETIONS, InvalidRequest
from heygen_portal.emulator.openai.requests import Call, ChatRequest
from heygen_portal.emulator.openai.streaming import FAULTS
from heygen_portal.emulator.sessions.states import Refusal

routes = web.RouteTableDef()

CREATED: Final = 1767225600  # the same in every answer, as the same request gets the same answer
TOKEN: Final = re.compile(r"\s*\S+")
WRONG_ARGUMENTS: Final = {"garbled": '{"unfinished": ', "unknown": '{"nobody_asked_for": true}'}


def authorize(request: web.Request, key: str) -> None:
    """Check the key, which is only accepted as a bearer's. Raises Refusal."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        raise Refusal("missing_api_key")
    if not hmac.compare_digest(given.strip().encode("utf-8", "replace"), key.encode()):
        raise Refusal("invalid_api_key")


@routes.get("/v1/models")
async def models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [_model(name) for name in requests.MODELS]})


@routes.get("/v1/models/{model}")
async def model(request: web.Request) -> web.Response:
    return web.json_response(_model(requests.model_of(request.match_info, requests.MODELS)))


@routes.post(COMPLETIONS)
async def chat(request: web.Request) -> web.StreamResponse:
    body = await requests.read(request)
    asked = requests.chat_request(body)
    reply = replies.reply(asked)
    text, reason = _limited(reply.text, asked)
    calls = _spoilt(reply.calls, request.get(FAULTS, {}))
    if calls:
        reason = "tool_calls"
    identity = _identity(asked, body)
    usage = _usage(asked, text, calls)
    if not asked.is_stream:
        message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
        if calls:
            message["tool_calls"] = [_call(call, index, identity["id"]) for index, call in enumerate(calls)]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return web.json_response(identity | {"object": "chat.completion", "choices": [choice], "usage": usage})
    rules = request.app[HEYGEN].store.rules
    pace = streaming.Pace(rules.model_first_token_s, rules.model_token_s)

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        none_yet = {"usage": None} if asked.has_usage else {}
        return identity | {"object": "chat.completion.chunk", "choices": [choice]} | none_yet

    tokens = [chunk({"content": token}) for token in TOKEN.findall(text)]
    for index, call in enumerate(calls):
        whole = _call(call, index, identity["id"]) | {"index": index}
        tokens.append(chunk({"tool_calls": [whole | {"function": {"name": call.name, "arguments": ""}}]}))
        tokens += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
            for part in TOKEN.findall(call.arguments)
        ]
    after = [chunk({}, reason)]
    if asked.has_usage:
        after.append(identity | {"object": "chat.completion.chunk", "choices": [], "usage": usage})
    return await streaming.send(request, chunk({"role": "assistant", "content": ""}), tokens, after, pace)


@routes.post("/v1/embeddings")
async def embed(request: web.Request) -> web.Response:
    body = await requests.read(request)
    name = requests.model_of(body, (requests.EMBEDDING,))
    texts = requests.inputs(body.get("input"))
    dimensions = body.get("dimensions", embeddings.DEFAULT_DIMENSIONS)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= requests.MAX_DIMENSIONS:
        raise InvalidRequest("dimensions", f"is from 1 to {requests.MAX_DIMENSIONS}")
    encoding = body.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise InvalidRequest("encoding_format", "is float or base64")
    vectors = [embeddings.embed(text, dimensions) for text in texts]
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": embeddings.as_base64(vector) if encoding == "base64" else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    count = sum(map(_count, texts))
    usage = {"prompt_tokens": count, "total_tokens": count}
    return web.json_response({"object": "list", "data": data, "model": name, "usage": usage})


@routes.post("/v1/moderations")
async def moderate(request: web.Request) -> web.Response:
    body = await requests.read(request)
    name = requests.model_of({"model": requests.MODERATION} | body, (requests.MODERATION,))
    results = [moderation.moderate(text) for text in requests.inputs(body.get("input"))]
    return web.json_response({"id": f"modr-{_digest(body)}", "model": name, "results": results})


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "emulator"}


def _identity(asked: ChatRequest, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": f"chatcmpl-{_digest(body)}", "created": CREATED, "model": asked.model, "system_fingerprint": None}


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:24]


def _call(call: Call, index: int, reply_id: str) -> dict[str, Any]:
    identifier = f"call_{reply_id.removeprefix('chatcmpl-')}_{index}"
    return {"id": identifier, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _spoilt(calls: Iterable[Call], faults: Mapping[str, Mapping[str, Any]]) -> list[Call]:
    wrong = faults.get("wrong_arguments")
    return [Call(call.name, WRONG_ARGUMENTS[wrong["arguments"]]) if wrong else call for call in calls]


def _limited(text: str, asked: ChatRequest) -> tuple[str, str]:
    """Return the text up to a stop sequence and the limit, and why it ends."""
    end = min((at for stop in asked.stops if (at := text.find(stop)) >= 0), default=len(text))
    tokens = TOKEN.findall(text[:end])
    if len(tokens) > asked.max_tokens:
        return "".join(tokens[: asked.max_tokens]), "length"
    return text[:end], "stop"


def _usage(asked: ChatRequest, text: str, calls: Iterable[Call]) -> dict[str, int]:
    prompt = sum(_count(message.content) + 1 for message in asked.messages)
    prompt += sum(_count(tool.description) + 1 for tool in asked.tools)
    completion = _count(text) + sum(_count(call.arguments) + 1 for call in calls)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _count(text: str) -> int:
    return len(TOKEN.findall(text))
