"""A LITE session's socket without media accepts and reports audio."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.emulator.heygen.test_realtime import Client
from tests.emulator.liveavatar_wire import LiveAvatarWire
from tests.timeouts import WAIT_TIMEOUT_S

TENTH = base64.b64encode(bytes(4800)).decode()  # of a second
LONG = base64.b64encode(bytes(480_000)).decode()


@asynccontextmanager
async def lite(live: LiveAvatarWire, **body: Any) -> AsyncIterator[tuple[str, Client]]:
    session_id = live.lite(**body)
    async with aiohttp.ClientSession() as http, http.ws_connect(live.start(session_id)["ws_url"]) as socket:
        client = Client(socket)
        while (await client.until("session.state_updated"))["state"] != "connected":
            pass
        yield session_id, client


def steps(client: Client) -> list[str]:
    """Return the messages since the session connected.

    A change of pose is given as the new pose.
    """
    kinds = [message.get("new_state") or message["type"].removeprefix("agent.") for message in client.seen]
    return [kind for kind in kinds if not kind.startswith("session.")]


async def test_an_utterance_is_reported_step_by_step_whatever_its_event_ids(live: LiveAvatarWire) -> None:
    async with lite(live) as (_, client):
        await client.socket.send_json({"type": "agent.speak", "audio": TENTH, "event_id": "1"})
        await client.socket.send_json({"type": "agent.speak", "audio": TENTH})
        await client.socket.send_json({"type": "agent.speak_end", "event_id": "2", "audio": TENTH})
        ended = await client.until("agent.speak_ended")
        await client.until("agent.state_updated")
        appended = ["audio_buffer_appended"] * 3
        assert steps(client) == [
            *appended, "audio_buffer_committed", "talking", "speak_started", "speak_ended", "idle",
        ]  # fmt: skip
        assert ended["source_event_id"] == "2"
        assert len({message["task"]["id"] for message in client.seen if "task" in message}) == 1
        fresh = [message["event_id"] for message in client.seen]
        assert len(set(fresh)) == len(fresh)


async def test_listening_requested_during_speech_starts_after_it(live: LiveAvatarWire) -> None:
    async with lite(live) as (_, client):
        await client.send("agent.speak", audio=TENTH)
        await client.send("agent.speak_end")
        await client.until("agent.speak_started")
        await client.send("agent.start_listening")
        await client.until("agent.speak_ended")
        assert (await client.until("agent.state_updated"))["new_state"] == "listening"
        await client.send("agent.stop_listening")
        assert (await client.until("agent.state_updated"))["new_state"] == "idle"


async def test_an_interruption_clears_the_buffer_and_ends_speech(live: LiveAvatarWire) -> None:
    async with lite(live) as (_, client):
        await client.send("agent.speak", audio=LONG)
        await client.send("agent.speak_end")
        await client.until("agent.speak_started")
        await client.socket.send_json({"type": "agent.interrupt", "event_id": None})
        await client.until("agent.state_updated")
        assert steps(client)[-4:] == ["audio_buffer_cleared", "speak_interrupted", "speak_ended", "idle"]
        await client.send("agent.interrupt")  # with nothing to interrupt, the acknowledgement is all
        await client.send("agent.start_listening")
        await client.until("agent.state_updated")
        assert steps(client)[-2:] == ["audio_buffer_cleared", "listening"]


async def test_messages_before_the_avatar_is_present_are_dropped(live: LiveAvatarWire) -> None:
    live.fault("late", seconds=3600)
    session_id = live.lite()
    async with aiohttp.ClientSession() as http, http.ws_connect(live.start(session_id)["ws_url"]) as socket:
        client = Client(socket)
        assert (await client.until("session.state_updated"))["state"] == "new"
        await client.send("agent.speak", audio=TENTH)
        await client.send("start", encoding="pcm_s16le")
        await socket.send_str("{")
        await client.until("error")
        assert steps(client) == ["error"]


@pytest.mark.parametrize(
    "message", ["", "[]", "null", '{"type": "agent.speak"}', '{"type": "agent.speak", "audio": "&"}']
)
async def test_an_invalid_message_returns_an_error_and_keeps_the_socket_open(
    live: LiveAvatarWire, message: str
) -> None:
    async with lite(live) as (_, client):
        await client.socket.send_str(message)
        assert (await client.until("error"))["error"]["type"] == "invalid_request_error"
        await client.socket.send_str("x" * 1_100_000)
        await client.until("error")
        await client.send("agent.start_listening")
        await client.until("agent.state_updated")


async def test_ending_a_session_closes_the_socket_and_removes_its_address(live: LiveAvatarWire) -> None:
    async with lite(live, is_sandbox=True) as (session_id, client):
        address = str(client.socket._response.url)
        live.move_clock(61)
        assert (await client.until("session.state_updated"))["state"] == "disconnected"
        closing = await client.socket.receive(timeout=WAIT_TIMEOUT_S)
        assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, 1000)
        assert live.entry(session_id)["end_reason"] == "MAX_DURATION_REACHED"
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(address)
        assert refused.value.status == 404


async def test_keep_alive_through_the_socket_counts_as_activity(live: LiveAvatarWire) -> None:
    async with lite(live) as (session_id, client):
        live.move_clock(200)
        await client.send("session.keep_alive")
        await client.socket.send_str("{")
        await client.until("error")  # so the one before was taken
        live.move_clock(200)
        assert "end_reason" not in live.entry(session_id)
