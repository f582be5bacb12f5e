"""Server-sent events of a completion, with the faults that happen in the middle of one."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from aiohttp import web

from heygen_portal.emulator.openai.errors import body

# The faults of this call, put there by the control routes: parameters by kind.
FAULTS: Final = web.RequestKey("faults", dict[str, dict[str, Any]])
POLL_S: Final = 0.01
DONE: Final = "data: [DONE]\n\n"
ERROR: Final = body("The server had an error while processing your request", kind="server_error")
BROKEN: Final = 'data: {"id": "chatcmpl-broken", "choices": [{"delta": {"cont\n\n'


@dataclass(frozen=True)
class Pace:
    first_token_s: float
    token_s: float


async def send(
    request: web.Request,
    before: dict[str, Any],
    tokens: Sequence[dict[str, Any]],
    after: Sequence[dict[str, Any]],
    pace: Pace,
) -> web.StreamResponse:
    """Send chunks. `tokens` are those that come one by one, between the first chunk and the last ones."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    response.headers["Cache-Control"] = "no-cache"
    await response.prepare(request)
    try:
        if await _sent_all(request, response, [before, *tokens, *after], len(tokens), pace):
            await response.write_eof()
    except ConnectionResetError:  # the client closed the connection
        pass
    return response


async def _sent_all(
    request: web.Request, response: web.StreamResponse, chunks: Sequence[dict[str, Any]], tokens: int, pace: Pace
) -> bool:
    """Return False if the connection was cut."""
    faults = request.get(FAULTS, {})
    pause = faults["stream_slow"]["seconds"] if "stream_slow" in faults else pace.token_s
    at = {kind: min(int(faults[kind]["after"]), tokens) for kind in faults if "after" in faults[kind]}
    for index, chunk in enumerate(chunks):
        sent = index - 1  # tokens
        if sent == at.get("stream_cut") and request.transport is not None:
            request.transport.abort()
        if sent == at.get("stream_stall"):
            await _pause(request, inf)
        if sent == at.get("stream_end"):
            return True
        if sent == at.get("stream_garbled"):
            await response.write(BROKEN.encode())
        if sent == at.get("stream_error"):
            await response.write(_event(ERROR).encode())
            return True
        if 0 <= sent < tokens and (wait := pause if sent else max(pause, pace.first_token_s)):
            await _pause(request, wait)
        if _is_gone(request):
            return False
        await response.write(_event(chunk).encode())
    await response.write(DONE.encode())
    return True


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


async def _pause(request: web.Request, seconds: float) -> None:
    """Wait, at most until the client closes the connection."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not _is_gone(request):
        await asyncio.sleep(min(left, POLL_S))


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
