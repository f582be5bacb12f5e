"""Request log and fault injection for API calls."""

import asyncio
import json
import time
from collections import deque
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from heygen_portal.emulator.control.faults import Fault, Faults
from heygen_portal.emulator.error_responses import errors_of, refused
from heygen_portal.emulator.heygen.service import HEYGEN
from heygen_portal.emulator.openai.streaming import FAULTS
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import Refusal

MAX_LOGGED_REQUESTS: Final = 1000
MAX_LOGGED_BODY_BYTES: Final = 8192  # longer request bodies are not logged
HTML: Final = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
SECRET_FIELDS: Final = ("token", "session_token", "livekit_client_token", "secret_value")


class Control:
    """Active faults, the request log, and the initial rules."""

    def __init__(self, rules: Rules) -> None:
        self.faults = Faults()
        self.requests: deque[dict[str, Any]] = deque(maxlen=MAX_LOGGED_REQUESTS)
        self.initial_rules = rules


CONTROL: Final = web.AppKey("control", Control)


@web.middleware
async def inject_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log an API call and apply the faults meant for it."""
    if not request.path.startswith(("/v1/", "/v2/")) or request.path.startswith("/v1/ws/"):
        return await handler(request)
    control = request.app[CONTROL]
    began = time.monotonic()
    body = _body(await request.read())
    entry = _log_entry(request, body, request.app[HEYGEN].clock.now())
    control.requests.append(entry)
    session_id = body.get("session_id") if isinstance(body, dict) else ""
    faults = control.faults.on_call(request.path, session_id if isinstance(session_id, str) else "")
    entry["faults"] = [fault.kind for fault in faults]
    try:
        response = await _respond(request, handler, faults)
        if request.transport is not None and not request.transport.is_closing():
            entry["status"] = response.status
    except (Refusal, web.HTTPException) as exc:
        entry["status"] = refused(request.path, exc).status if isinstance(exc, Refusal) else exc.status
        raise
    finally:
        entry["ms"] = round((time.monotonic() - began) * 1000, 1)
    return response


async def _respond(request: web.Request, handler: Handler, faults: list[Fault]) -> web.StreamResponse:
    """Handle a call with the faults that apply before and after its effect."""
    request[FAULTS] = by_kind = {fault.kind: fault.with_ for fault in faults}
    for kind in ("cut", "silence"):
        if by_kind.get(kind, {}).get("when") == "before":
            return await _abandon(request, kind)
    if answer := by_kind.get("answer"):
        return _answer(request.path, answer)
    if html := by_kind.get("html"):
        return web.Response(status=html["status"], text=HTML, content_type="text/html")
    response = await handler(request)
    if delay := by_kind.get("delay"):
        await asyncio.sleep(delay["seconds"])
    for kind in ("cut", "silence"):
        if kind in by_kind:
            return await _abandon(request, kind)
    return response


def _answer(path: str, values: dict[str, Any]) -> web.Response:
    if error := values["error"]:
        return refused(path, Refusal(error if error in errors_of(path) else "bad_request"))
    body = values["body"]
    if isinstance(body, str):
        return web.Response(status=values["status"], text=body, content_type="application/json")
    return web.json_response(body, status=values["status"])


async def _abandon(request: web.Request, kind: str) -> web.Response:
    """Cut the connection, or leave the client waiting until it disconnects.

    The returned response is never sent.
    """
    if kind == "silence":
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.05)
    elif request.transport is not None:
        request.transport.abort()
    return web.Response()


def _body(raw: bytes) -> Any:
    if len(raw) > MAX_LOGGED_BODY_BYTES:
        return f"({len(raw)} bytes)"
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")


def _log_entry(request: web.Request, body: Any, now: float) -> dict[str, Any]:
    """Return a log entry with the kind of credential, but not the credential."""
    credential = next((name for name in ("X-Api-Key", "Authorization") if name in request.headers), None)
    return {
        "at": round(now, 3),
        "method": request.method,
        "path": request.path,
        "query": dict(request.query),
        "credential": credential,
        "content_type": request.headers.get("Content-Type"),
        "body": _without_secrets(body),
        "status": None,  # no response yet, or never
    }


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: "…" if name in SECRET_FIELDS else _without_secrets(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value
