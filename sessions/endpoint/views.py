"""`POST /brain/v1/chat/completions`: providers call the brain in place of a model of their own."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from heygen_portal.postgresql import clock
from heygen_portal.runtime import budgets, client_address, logs
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.endpoint import wire
from sessions.endpoint.spoken_turn import SpokenTurn
from sessions.endpoint.wire import Asked, Refused
from sessions.models import StreamingSession
from sessions.presence import brain_access

logger = logging.getLogger(__name__)

SCHEME = "bearer "
# When a client may ask again before the session is live: it is as soon as the user sees the avatar.
LIVE_SOON_S = 1


async def _chat_completions(request: HttpRequest) -> HttpResponseBase:
    """Answer the last message of the user in the session that the token is good for."""
    try:
        if request.method != "POST":
            raise Refused(405, "Only POST is allowed.")
        session = await _session_of(request)
        with logs.bound(session=session.pk):
            await budgets.spend("brain", session=session.pk)
            asked = wire.parse(_body(request))
            turn = SpokenTurn()
            await turn.begin(session, asked.text)
    except Refused as exc:
        return exc.response()
    except TooManyRequests as exc:
        return _too_many(exc).response()
    except errors.NotLive:
        words = "The session is not live yet, or has ended."
        return Refused(503, words, kind="server_error", code="session_not_live", retry_after_s=LIVE_SOON_S).response()
    except (errors.TextEmpty, errors.TextTooLong) as exc:
        return Refused(400, "The user's text is empty or too long.", code=exc.code, param="messages").response()
    except (OperationalError, InterfaceError):
        logger.exception("a spoken text could not be answered, because the database does not answer")
        return Refused(503, "The portal is not available.", kind="server_error", retry_after_s=LIVE_SOON_S).response()
    identity = {"id": f"chatcmpl-{turn.answer_id}", "created": int(clock.now().timestamp()), "model": asked.model}
    if asked.is_stream:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingHttpResponse(
            _stream(turn, asked, identity), content_type="text/event-stream; charset=utf-8", headers=headers
        )
    async with aclosing(turn.sentences()) as sentences:
        text = " ".join([sentence async for sentence in sentences])
    return JsonResponse(wire.whole(identity, text, turn.usage), headers={"Cache-Control": "no-store"})


# The stubs know no asynchronous views.
chat_completions = cast(Any, login_not_required)(cast(Any, csrf_exempt)(_chat_completions))


async def _session_of(request: HttpRequest) -> StreamingSession:
    """Return the running session that the request's token is good for. Raises Refused."""
    given = request.headers.get("Authorization", "")
    token = given[len(SCHEME) :].strip() if given.lower().startswith(SCHEME) else ""
    if session := await in_thread(brain_access.session_of)(token):
        return session
    try:
        await budgets.spend("brain_refused", address=client_address.of(request))
    except TooManyRequests as exc:
        raise _too_many(exc) from exc
    raise Refused(401, "The token is missing, wrong, or its session has ended.", code="invalid_api_key")


def _body(request: HttpRequest) -> bytes:
    try:
        return request.body
    except RequestDataTooBig:
        return b" " * (wire.MAX_BODY_BYTES + 1)


def _too_many(exc: TooManyRequests) -> Refused:
    words = "Too many requests."
    return Refused(429, words, kind="requests", code="rate_limit_exceeded", retry_after_s=exc.wait_seconds)


async def _stream(turn: SpokenTurn, asked: Asked, identity: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    yield wire.chunk(identity, {"role": "assistant", "content": ""})
    async with aclosing(turn.sentences()) as sentences:
        async for sentence in sentences:
            # With a space, so that who cuts the stream into sentences need not wait for the next one.
            yield wire.chunk(identity, {"content": f"{sentence} "})
    yield wire.chunk(identity, {}, "stop")
    if asked.has_usage:
        yield wire.usage_chunk(identity, turn.usage)
    yield wire.DONE
