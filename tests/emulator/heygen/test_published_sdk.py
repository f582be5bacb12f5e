"""The vendor's unmodified JavaScript SDK in a browser, against the emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.emulator import sdk_page
from tests.emulator.sdk_page import call, microphone_switches, record
from tests.emulator.wire import AVATAR, Wire
from tests.support import servers

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.proof]

REQUEST = {"avatarName": AVATAR, "quality": "low", "knowledgeBase": "We open at nine in the morning."}


@pytest.fixture(scope="module")
def secure_emulator(livekit: servers.LiveKit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Emulator]:
    args = ["--control", "--tls", "--tls-port", "0", "--tls-folder", str(tmp_path_factory.mktemp("ca"))]
    with servers.emulator(livekit, args=args) as emulator:
        yield emulator


@asynccontextmanager
async def application(emulator: servers.Emulator, *switches: str) -> AsyncIterator[Page]:
    """A page with the SDK, in a browser for which api.heygen.com:443 is the emulator."""
    lines = emulator.process.output().splitlines()
    port = next(line for line in lines if "https://" in line).rsplit(":", 1)[1]
    rule = f"--host-resolver-rules=MAP api.heygen.com:443 127.0.0.1:{port}"
    async with sdk_page.application("index.html", rule, *switches) as page:
        yield page


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in events]


def message_text(events: list[dict[str, Any]], kind: str = "avatar_talking_message") -> str:
    return "".join(event["message"] for event in events if event["kind"] == kind)


async def test_the_published_sdk_runs_a_whole_session(secure_emulator: servers.Emulator) -> None:
    with Wire(secure_emulator.url, secure_emulator.api_key) as wire:
        async with application(secure_emulator) as page:
            session_id = await call(page, "start", wire.token(), REQUEST)
            await wire.until_connected(session_id)
            assert "stream_ready" in kinds(await call(page, "until", "stream_ready"))
            await page.wait_for_function("app.video.videoWidth === 640 && app.video.videoHeight === 360")
            await call(page, "pictures", 10)

            await call(page, "call", "speak", {"text": "Hello ¿qué tal?", "taskType": "repeat"})
            events = await call(page, "until", "avatar_stop_talking")
            assert message_text(events) == "Hello ¿qué tal?"
            others = {"avatar_talking_message", "connection_quality_changed"}
            assert [kind for kind in kinds(events) if kind not in others] == [
                "avatar_start_talking",
                "avatar_end_message",
                "avatar_stop_talking",
            ]

            # By default a text goes as a protobuf frame over the chat socket, and is answered.
            await call(page, "call", "speak", {"text": "When do you open?"})
            assert message_text(await call(page, "until", "avatar_stop_talking")) == "We open at nine in the morning."
            paths = [request["path"] for request in wire.http.get("/_emulator/requests").json()["requests"]]
            assert paths.count("/v1/streaming.task") == 1

            await call(page, "call", "speak", {"text": "A long text " * 40, "taskType": "repeat"})
            await call(page, "until", "avatar_talking_message")
            await call(page, "call", "interrupt")
            assert "avatar_end_message" not in kinds(await call(page, "until", "avatar_stop_talking"))

            for name in ("startListening", "stopListening", "keepAlive"):
                await call(page, "call", name)
            await call(page, "call", "stopAvatar")
            (gone,) = [
                event
                for event in await call(page, "until", "stream_disconnected")
                if event["kind"] == "stream_disconnected"
            ]
            assert gone["detail"] == "5"  # room deleted


async def test_the_published_sdk_talks_through_data_packets(secure_emulator: servers.Emulator) -> None:
    with Wire(secure_emulator.url, secure_emulator.api_key) as wire:
        async with application(secure_emulator) as page:
            request = {**REQUEST, "voiceChatTransport": "livekit", "enablePushToTalk": True}
            await wire.until_connected(await call(page, "start", wire.token(), request))
            await call(page, "call", "speak", {"text": "When do you open?"})
            assert message_text(await call(page, "until", "avatar_stop_talking")) == "We open at nine in the morning."
            await call(page, "call", "stopAvatar")
            await call(page, "until", "stream_disconnected")


async def test_the_published_sdks_push_to_talk_is_heard_only_while_pressed(
    secure_emulator: servers.Emulator, tmp_path: Path
) -> None:
    """The microphone always plays speech.

    It stays open for seconds after `startVoiceChat` returns.
    """
    microphone = tmp_path / "microphone.wav"
    record("One two three four five. Six seven eight nine ten.", microphone, pause_s=0)
    request = {**REQUEST, "voiceChatTransport": "livekit", "enablePushToTalk": True}
    with Wire(secure_emulator.url, secure_emulator.api_key) as wire:
        async with application(secure_emulator, *microphone_switches(microphone)) as page:
            await wire.until_connected(await call(page, "start", wire.token(), request))
            await call(page, "call", "startVoiceChat", {})
            await call(page, "call", "speak", {"text": "Still here.", "taskType": "repeat"})
            before = await call(page, "until", "avatar_stop_talking")
            assert not [kind for kind in kinds(before) if kind.startswith("user_")]
            await call(page, "call", "pushToTalkStart")
            await call(page, "until", "user_start")
            await call(page, "call", "speak", {"text": "I listen.", "taskType": "repeat"})
            await call(page, "until", "avatar_stop_talking")
            await call(page, "call", "pushToTalkStop")
            assert message_text(await call(page, "until", "user_stop"), "user_talking_message")
            await call(page, "call", "stopAvatar")


async def test_the_published_sdks_voice_chat_is_heard_and_answered(
    secure_emulator: servers.Emulator, tmp_path: Path
) -> None:
    """The SDK sends the microphone's audio over the chat socket.

    The socket returns the recognised text.
    """
    microphone = tmp_path / "microphone.wav"
    record("Hello. Good morning. How are you today?", microphone)
    with Wire(secure_emulator.url, secure_emulator.api_key) as wire:
        async with application(secure_emulator, *microphone_switches(microphone)) as page:
            await wire.until_connected(await call(page, "start", wire.token(), REQUEST))
            await call(page, "call", "startVoiceChat", {})
            events = await call(page, "until", "user_end_message")
            assert "user_start" in kinds(events)
            assert message_text(events, "user_talking_message")
            assert message_text(await call(page, "until", "avatar_end_message"))
            await call(page, "call", "stopAvatar")
