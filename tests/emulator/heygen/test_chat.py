"""The chat socket, without media: it also reports the avatar's speech."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from heygen_portal.emulator.heygen.chat_frames import encode_audio, encode_text
from tests.emulator.wire import Wire
from tests.timeouts import WAIT_TIMEOUT_S


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


def address(wire: Wire, session_id: str, token: str = "", **more: str) -> str:
    token = token or wire.token()
    query = {"session_id": session_id, "session_token": token, "silence_response": "false", "push_to_talk": "false"}
    return str(wire.http.build_request("GET", "/v1/ws/streaming.chat", params=query | more).url)


async def until(socket: aiohttp.ClientWebSocketResponse, event_type: str) -> dict[str, Any]:
    """The next message of this type."""
    while True:
        message: dict[str, Any] = await socket.receive_json(timeout=WAIT_TIMEOUT_S)
        if message["event_type"] == event_type:
            return message


async def test_a_text_frame_is_answered(wire: Wire, http: aiohttp.ClientSession) -> None:
    session_id = wire.session("connected")
    async with http.ws_connect(address(wire, session_id)) as socket:
        await socket.send_bytes(encode_text("hola"))
        assert (await until(socket, "avatar_talking_message"))["message"] == "hola"
    assert wire.seen(session_id)["tasks"] == 1


@pytest.mark.parametrize("state", ["new", "connecting", "connected"])
async def test_the_chat_socket_opens_in_every_state_before_closing(
    wire: Wire, http: aiohttp.ClientSession, state: str
) -> None:
    session_id = wire.session(state)
    async with http.ws_connect(address(wire, session_id)) as socket:
        await socket.send_bytes(encode_text("hola"))
        wire.data("streaming.stop", {"session_id": session_id})
        while (message := await socket.receive(timeout=WAIT_TIMEOUT_S)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type is aiohttp.WSMsgType.CLOSE


async def test_an_opening_text_is_spoken_once_the_avatar_is_present(wire: Wire, http: aiohttp.ClientSession) -> None:
    session_id = wire.new()
    async with http.ws_connect(address(wire, session_id, opening_text="Buenos días")) as socket:
        wire.data("streaming.start", {"session_id": session_id})
        assert (await until(socket, "avatar_talking_message"))["message"] == "Buenos días"


async def test_texts_sent_while_the_avatar_joins_are_answered_after_the_greeting(
    wire: Wire, http: aiohttp.ClientSession
) -> None:
    """A client may send before LiveKit announces that it joined."""
    session_id = wire.session("connecting")
    async with http.ws_connect(address(wire, session_id, opening_text="Buenos días"), autoping=False) as socket:
        for number in range(12):
            await socket.send_bytes(encode_text(f"pregunta {number}"))
        await socket.ping()
        assert (await socket.receive(timeout=WAIT_TIMEOUT_S)).type is aiohttp.WSMsgType.PONG  # all have been read
        wire.control(f"sessions/{session_id}/faults", method="DELETE")
        answers = [(await until(socket, "avatar_talking_message"))["message"] for _ in range(3)]
    assert answers == ["Buenos días", "pregunta 0", "pregunta 1"]
    assert wire.seen(session_id)["tasks"] == 11  # the greeting, and as many texts as are kept


async def test_invalid_tokens_and_closed_sessions_are_refused(wire: Wire, http: aiohttp.ClientSession) -> None:
    session_id, closed = wire.new(), wire.session("closed")
    other = wire.token()
    wire.data("streaming.new", {"version": "v2"}, token=other)
    for url, status in (
        (address(wire, session_id, "nobody"), 401),
        (address(wire, session_id, other), 401),
        (address(wire, "nothing"), 404),
        (address(wire, closed), 400),
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(url)
        assert refused.value.status == status


async def test_invalid_chat_frames_are_ignored(wire: Wire, http: aiohttp.ClientSession) -> None:
    session_id = wire.session("connected")
    async with http.ws_connect(address(wire, session_id)) as socket:
        await socket.send_bytes(b"\xff\xff")
        await socket.send_str("text is not for clients")
        await socket.send_bytes(encode_text(" \n"))
        await socket.send_bytes(encode_audio(b"\0" * 1024))
        await socket.send_bytes(encode_audio(b"\0" * 3, 44_100, 2))
        await socket.send_bytes(encode_text("x" * 5000))
        assert len((await until(socket, "avatar_talking_message"))["message"]) == 1000
