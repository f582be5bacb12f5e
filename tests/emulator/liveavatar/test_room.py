"""A FULL session's room as seen by a user in it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from livekit import rtc

from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.speech.synthesis import speak
from tests.emulator.heygen.test_realtime import Client
from tests.emulator.liveavatar_wire import LiveAvatarWire
from tests.emulator.viewer import Viewer, token
from tests.support import servers

pytestmark = pytest.mark.media

LONG = "A very long sentence that nobody wants to hear to its end, and which is therefore interrupted rather soon. " * 3


@pytest.fixture
def real(emulator: servers.Emulator) -> Iterator[LiveAvatarWire]:
    with LiveAvatarWire(emulator.url, emulator.api_key) as live:
        live.control("reset")
        yield live


class Person(Viewer):
    """A viewer that publishes commands and records the events of one topic."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[int] = []
        self.room.on("disconnected", lambda reason: self.record(self.ended, int(reason)))

    async def command(self, event_type: str, **more: Any) -> None:
        payload = json.dumps({"event_type": event_type, **more})
        await self.room.local_participant.publish_data(payload, reliable=True, topic="agent-control")

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [packet for packet in self.packets if packet["event_type"] == kind]

    def _received(self, packet: rtc.DataPacket) -> None:
        assert packet.topic == "agent-response"
        super()._received(packet)


@asynccontextmanager
async def conversation(real: LiveAvatarWire, **body: Any) -> AsyncIterator[tuple[str, Person]]:
    """Join a session's room with its avatar and agent."""
    session_id = real.create_token(video_settings={"quality": "low"}, **body)
    started, person = real.start(session_id), Person()
    await person.room.connect(started["livekit_url"], started["livekit_client_token"])
    try:
        here = {"heygen", f"liveavatar-agent-{session_id}"}
        await person.until(lambda: here == {one.identity for one in person.room.remote_participants.values()})
        await person.until(lambda: person.frames and person.peaks)
        yield session_id, person
    finally:
        await person.close()
        real.stop(session_id)


async def test_a_user_controls_the_avatar_through_data_packets(real: LiveAvatarWire) -> None:
    context = real.ask_for(
        "POST",
        "/v1/contexts",
        {"name": "Hours", "prompt": "We open at nine in the morning.", "opening_text": "Hello ${name}."},
    ).json()["data"]["id"]
    persona = {"context_id": context, "language": "en"}
    async with conversation(real, avatar_persona=persona, dynamic_variables={"name": "Nora"}) as (session_id, person):
        await person.full_size(640, 360)
        assert (await person.packets_of("avatar.transcription"))[0]["text"] == "Hello Nora."
        await person.packets_of("avatar.speak_ended")

        began = time.monotonic()
        await person.command("avatar.speak_text", text="Good evening.", event_id="mine")
        await person.packets_of("avatar.speak_ended", 2)
        assert person.sound_times(began)
        reported = [(packet["event_type"], packet["source_event_id"]) for packet in person.packets[3:]]
        assert reported == [
            ("avatar.transcription", "mine"),
            ("avatar.speak_started", "mine"),
            ("avatar.speak_ended", "mine"),
        ]

        await person.command("avatar.speak_response", text="When do you open?")
        await person.packets_of("avatar.speak_started", 3)
        chunks = "".join(packet["text"] for packet in await person.packets_of("avatar.transcription.chunk"))
        assert chunks.strip() == (await person.packets_of("avatar.transcription", 3))[2]["text"]
        await person.packets_of("avatar.speak_ended", 3)

        await person.command("avatar.speak_text", text=LONG)
        await person.command("avatar.speak_text", text="And this is never said.")
        await person.packets_of("avatar.speak_started", 4)
        await person.command("avatar.interrupt")
        await person.packets_of("avatar.speak_ended", 4)
        await person.silence(1)
        assert len(await person.packets_of("avatar.speak_started")) == 4

        lines = real.got(f"/v1/sessions/{session_id}/transcript")["transcript_data"]
        assert [(line["role"], line["transcript"]) for line in lines][:4] == [
            ("avatar", "Hello Nora."),
            ("avatar", "Good evening."),
            ("user", "When do you open?"),
            ("avatar", "We open at nine in the morning."),
        ]


async def test_the_room_reports_the_end_reason_before_it_closes(real: LiveAvatarWire) -> None:
    async with conversation(real, is_sandbox=True) as (session_id, person):
        real.move_clock(61)
        (stopped,) = await person.packets_of("session.stopped")
        assert stopped["stop_reason"] == stopped["end_reason"] == "MAX_DURATION_REACHED"
        await person.until(lambda: person.ended)
        assert real.entry(session_id)["end_reason"] == "MAX_DURATION_REACHED"


@pytest.mark.parametrize("is_brought", [False, True])
async def test_a_lite_avatar_plays_audio_in_its_own_and_the_callers_room(
    real: LiveAvatarWire, livekit: servers.LiveKit, is_brought: bool
) -> None:
    room = {
        "livekit_url": livekit.url,
        "livekit_room": "brought",
        "livekit_client_token": token(livekit, "brought", "our-avatar"),
    }
    session_id = real.lite(video_settings={"quality": "low"}, **({"livekit_config": room} if is_brought else {}))
    started, person, identity = real.start(session_id), Person(), "our-avatar" if is_brought else "heygen"
    url, ticket = started["livekit_url"], started["livekit_client_token"]
    if is_brought:
        url, ticket = livekit.url, token(livekit, "brought", "person")
    async with AsyncExitStack() as after, aiohttp.ClientSession() as http, http.ws_connect(started["ws_url"]) as socket:
        await person.room.connect(url, ticket)
        after.push_async_callback(person.close)
        await person.until(lambda: person.frames and person.peaks)
        assert [one.identity for one in person.room.remote_participants.values()] == [identity]
        client, began = Client(socket), time.monotonic()
        while (await client.until("session.state_updated"))["state"] != "connected":
            pass
        pcm = speak("Good evening.", Voice("en")).pcm
        await client.send("agent.speak", audio=base64.b64encode(pcm).decode())
        await client.send("agent.speak_end")
        await client.until("agent.speak_started")
        await client.until("agent.speak_ended")
        await person.until(lambda: person.sound_times(began))
        assert person.packets == []
        real.stop(session_id)
        await person.until(lambda: person.departed if is_brought else person.ended)
        assert not (is_brought and person.ended)  # a brought room is its owner's to delete
