"""HeyGen's chat socket, against a server that speaks its wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from heygen_portal.providers.contract.errors import CredentialRefused, ProviderError, ProviderUnreachable, SessionGone
from heygen_portal.providers.heygen.provider import HeyGen
from tests.providers.heygen_wire import KEY


@asynccontextmanager
async def heygen_with(status: int = 200, messages: tuple[str | bytes, ...] = ()) -> AsyncIterator[HeyGen]:
    """Yield a client of a server that ends its chat socket.

    It refuses with `status`, or sends `messages` and closes the socket.
    """

    async def create_token(request: web.Request) -> web.Response:
        return web.json_response({"error": None, "data": {"token": "a-token"}})

    async def chat(request: web.Request) -> web.StreamResponse:
        if status != 200:
            return web.Response(status=status)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for message in messages:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_post("/v1/streaming.create_token", create_token)
    app.router.add_get("/v1/ws/streaming.chat", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = HeyGen(f"http://127.0.0.1:{runner.addresses[0][1]}", KEY)
    try:
        yield client
    finally:
        await client.aclose()
        await runner.cleanup()


async def test_events_are_forwarded_without_their_texts_and_other_messages_ignored() -> None:
    spoken = json.dumps({"event_type": "user_end_message", "task_id": "u1", "message": "Secreto"})
    partial = json.dumps({"event_type": "user_talking_message", "message": "Sec"})
    async with heygen_with(messages=(partial, spoken, "not JSON", b"\x00", "[" * 10_000)) as heygen:
        found = [event async for event in heygen.listen("0b7f")]
    assert [(event.kind, event.task_id, event.characters) for event in found] == [
        ("opened", "", 0),
        ("user_end_message", "u1", 7),
    ]
    assert "Secreto" not in repr(found)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, SessionGone),
        (401, CredentialRefused),
        (403, CredentialRefused),
        (404, SessionGone),
        (429, ProviderUnreachable),
        (502, ProviderUnreachable),
    ],
)
async def test_a_refused_socket_is_classified_and_its_token_not_quoted(status: int, error: type[ProviderError]) -> None:
    async with heygen_with(status) as heygen:
        with pytest.raises(ProviderError) as caught:
            await anext(heygen.listen("0b7f"))
    assert type(caught.value) is error
    assert "a-token" not in f"{caught.value!r} {caught.value.__cause__!r}"
