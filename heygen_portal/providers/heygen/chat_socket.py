"""Listener for HeyGen's chat socket, which reports a session's events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, Final

import aiohttp

from heygen_portal.providers.contract.catalogue import ProviderEvent
from heygen_portal.providers.contract.errors import CredentialRefused, ProviderUnreachable, SessionGone
from heygen_portal.providers.http import parsing
from heygen_portal.providers.http.client import CONNECT_SECONDS, ApiClient

# Partial-line events are left out: they would add one event row for every word.
FORWARDED_EVENTS: Final = frozenset(
    {
        "avatar_start_talking",
        "avatar_stop_talking",
        "avatar_end_message",
        "user_start",
        "user_stop",
        "user_end_message",
        "user_silence",
        "stream_disconnected",
    }
)
HEARTBEAT_SECONDS: Final = 20  # detects half-open connections
MAX_MESSAGE_BYTES: Final = 1024 * 1024
HANDSHAKE_ERRORS: Final = {400: SessionGone, 401: CredentialRefused, 403: CredentialRefused, 404: SessionGone}


async def listen(client: ApiClient, provider_session_id: str) -> AsyncGenerator[ProviderEvent, None]:
    """Yield an `opened` event, then the socket's events until it closes."""
    # The account's key is not accepted here: the socket needs a token made for its session.
    body = {"session_id": provider_session_id, "paid": True}
    answer = parsing.mapping(await client.post("/v1/streaming.create_token", body))
    token = parsing.required_text(answer.get("token"), "streaming.create_token: data.token")
    url = client.base_url.copy_with(scheme="wss" if client.base_url.scheme == "https" else "ws")
    query = {
        "session_id": provider_session_id,
        "session_token": token,
        "silence_response": "false",
        "push_to_talk": "false",
    }
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        try:
            socket = await asyncio.wait_for(
                http.ws_connect(
                    f"{str(url).rstrip('/')}/v1/ws/streaming.chat",
                    params=query,
                    heartbeat=HEARTBEAT_SECONDS,
                    max_msg_size=MAX_MESSAGE_BYTES,
                ),
                2 * CONNECT_SECONDS,
            )
        except aiohttp.WSServerHandshakeError as exc:
            refusal = HANDSHAKE_ERRORS.get(exc.status)
            if refusal is None:
                raise ProviderUnreachable(f"streaming.chat: HTTP {exc.status}") from None
            raise refusal("streaming.chat: refused", status=exc.status) from None
        except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is an OSError
            # No cause: its message has the URL, which contains the token.
            raise ProviderUnreachable(f"streaming.chat: {type(exc).__name__}") from None
        async with socket:
            yield ProviderEvent("opened")
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT and (event := parse_event(message.data)):
                    yield event


def parse_event(text: str) -> ProviderEvent | None:
    """Return the event in a message, or None if it is not forwarded.

    The event has the length of the spoken text, never the text itself.
    """
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    data = parsing.mapping(data)
    kind = parsing.text(data.get("event_type"))
    if kind not in FORWARDED_EVENTS:
        return None
    task_id = parsing.text(data.get("task_id"))[: parsing.MAX_ID_CHARACTERS]
    return ProviderEvent(kind, task_id=task_id, characters=len(parsing.text(data.get("message"))))
