"""The realtime socket, without media: sound is taken and its time passes."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.emulator.wire import Wire
from tests.timeouts import WAIT_TIMEOUT_S

TENTH = base64.b64encode(bytes(4800)).decode()  # of a second


class Client:
    """Sends and reads JSON; `seen` has all that was read."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []

    async def send(self, kind: str, **more: Any) -> None:
        await self.socket.send_json({"type": kind, "event_id": "e-1", **more})

    async def until(self, kind: str) -> dict[str, Any]:
        while True:
            self.seen.append(await self.socket.receive_json(timeout=WAIT_TIMEOUT_S))
            if self.seen[-1]["type"] == kind:
                return self.seen[-1]


@asynccontextmanager
async def realtime(wire: Wire, state: str = "connected") -> AsyncIterator[tuple[str, Client]]:
    opened = wire.data("streaming.new", {"version": "v2"})
    session_id = opened["session_id"]
    if state == "connected":
        wire.data("streaming.start", {"session_id": session_id})
    async with aiohttp.ClientSession() as http, http.ws_connect(opened["realtime_endpoint"]) as socket:
        yield session_id, Client(socket)


async def test_audio_chunks_are_played_as_one_task(wire: Wire) -> None:
    async with realtime(wire) as (_, client):
        assert (await client.until("session.state_updated"))["state"] == "connected"
        await client.send("agent.speak", audio=TENTH)
        await client.send("agent.speak", audio=TENTH)
        await client.send("agent.speak_end")
        started = await client.until("agent.speak_started")
        ended = await client.until("agent.speak_ended")
        assert started["task"] == ended["task"]
        assert started["source_event_id"] == ended["source_event_id"] == "e-1"
        poses = [message["new_state"] for message in client.seen if message["type"] == "agent.state_updated"]
        assert poses == ["talking", "idle"]


async def test_an_interruption_ends_playback(wire: Wire) -> None:
    async with realtime(wire) as (_, client):
        await client.send("agent.speak", audio=base64.b64encode(bytes(480_000)).decode())
        await client.send("agent.speak_end")
        await client.until("agent.speak_started")
        await client.socket.send_json({"type": "agent.interrupt", "event_id": None})
        assert (await client.until("agent.speak_interrupted"))["source_event_id"] == "e-1"


async def test_the_older_audio_message_names_are_accepted(wire: Wire) -> None:
    async with realtime(wire) as (_, client):
        await client.send("agent.audio_buffer_append", audio=TENTH)
        await client.until("agent.audio_buffer_appended")
        await client.send("agent.audio_buffer_clear")
        await client.until("agent.audio_buffer_cleared")
        await client.send("agent.audio_buffer_commit", audio=TENTH)
        committed = await client.until("agent.audio_buffer_committed")
        assert (await client.until("agent.speak_ended"))["task"] == committed["task"]


async def test_listening_begins_from_idle_and_ends(wire: Wire) -> None:
    async with realtime(wire) as (_, client):
        await client.send("agent.start_listening")
        assert (await client.until("agent.state_updated"))["new_state"] == "listening"
        await client.send("agent.stop_listening")
        assert (await client.until("agent.state_updated"))["new_state"] == "idle"


async def test_session_states_are_reported_until_it_closes(wire: Wire) -> None:
    async with realtime(wire, state="new") as (session_id, client):
        await client.until("session.state_updated")
        wire.data("streaming.start", {"session_id": session_id})
        wire.data("streaming.stop", {"session_id": session_id})
        while (await client.until("session.state_updated"))["state"] != "closed":
            pass
        states = [message["state"] for message in client.seen if message["type"] == "session.state_updated"]
        assert states == ["connecting", "connecting", "connected", "closing", "closed"]
        assert (await client.socket.receive(timeout=WAIT_TIMEOUT_S)).type is aiohttp.WSMsgType.CLOSE


async def test_keep_alive_counts_as_activity(wire: Wire) -> None:
    async with realtime(wire) as (session_id, client):
        wire.move_clock(100)
        await client.send("session.keep_alive")
        await client.send("nonsense")
        await client.until("error")  # so the one before was taken
        wire.move_clock(100)
        assert wire.state(session_id) == "connected"


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", "null", '{"type": 1}', '{"type": "agent.speak"}', '{"type": "agent.speak", "audio": "&"}'],
)
async def test_an_invalid_message_returns_a_json_error_and_keeps_the_socket_open(wire: Wire, message: str) -> None:
    async with realtime(wire) as (_, client):
        await client.socket.send_str(message)
        assert (await client.until("error"))["error"]["type"] == "invalid_message"
        await client.socket.send_bytes(b"\0")
        await client.until("error")
        await client.send("agent.start_listening")
        await client.until("agent.state_updated")


async def test_speaking_before_start_is_an_error(wire: Wire) -> None:
    async with realtime(wire, state="new") as (_, client):
        await client.send("agent.speak", audio=TENTH)
        assert (await client.until("error"))["error"]["type"] == "session_error"


async def test_an_unknown_session_has_no_socket(wire: Wire) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{wire.url}/v2-alpha/interactive-avatar/session/nothing")
        assert refused.value.status == 404


async def test_an_idle_client_loses_its_socket_but_not_its_session(wire: Wire) -> None:
    wire.control("rules", {"realtime_idle_s": 0.05})
    async with realtime(wire, state="new") as (session_id, client):
        await client.until("session.state_updated")
        assert (await client.socket.receive(timeout=WAIT_TIMEOUT_S)).type is aiohttp.WSMsgType.CLOSE
        assert wire.state(session_id) == "new"
