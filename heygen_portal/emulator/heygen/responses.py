"""HeyGen's response envelopes, and parsing of request bodies."""

import json
from typing import Any, Final

from aiohttp import web

from heygen_portal.emulator.sessions.states import Refusal

SUCCESS: Final = 100


def ok(data: Any = None) -> web.Response:
    """Return the envelope of the streaming endpoints."""
    return web.json_response({"code": SUCCESS, "message": "success", "data": data})


def ok_v2(data: Any) -> web.Response:
    """Return the envelope of create_token and the v2 endpoints."""
    return web.json_response({"error": None, "data": data})


def is_v2_style(path: str) -> bool:
    return path.startswith("/v2/") or path == "/v1/streaming.create_token"


def refused(path: str, refusal: Refusal) -> web.Response:
    return failure(path, refusal.error.status, refusal.error.code, refusal.message)


def failure(path: str, status: int, code: int, message: str) -> web.Response:
    """Return an error in the form of the path's endpoints. `data` is always present."""
    if is_v2_style(path):
        return web.json_response({"error": {"code": str(code), "message": message}, "data": None}, status=status)
    return web.json_response({"code": code, "message": message, "data": None}, status=status)


async def read_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body, {} without one, whatever its content type."""
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refusal("bad_request", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refusal("bad_request", "the body is not a JSON object")
    return body


def required_text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None or value == "":
        raise Refusal("missing_parameter", name)
    if not isinstance(value, str):
        raise Refusal("invalid_parameter", f"{name} must be a string")
    return value


def clean(text: str) -> str:
    """Return text without lone surrogates and control characters."""
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(char if char.isprintable() else " " for char in encodable).strip()
