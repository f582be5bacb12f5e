"""The vendor's unmodified LiveAvatar web SDK in a browser, on the emulator."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.emulator.liveavatar_wire import LiveAvatarWire
from tests.emulator.sdk_page import application, call, microphone_switches, record
from tests.support import servers
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.proof]

LOW = {"video_settings": {"quality": "low"}}


@pytest.fixture
def real(emulator: servers.Emulator) -> Iterator[LiveAvatarWire]:
    with LiveAvatarWire(emulator.url, emulator.api_key) as live:
        live.control("reset")
        yield live


async def start(page: Page, real: LiveAvatarWire, session_id: str, **config: Any) -> Any:
    return await call(page, "start", real.tokens[session_id], {"apiUrl": real.url, **config})


async def until_over(real: LiveAvatarWire, session_id: str) -> None:
    """Return once the session has ended: the SDK does not wait for its own stop."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while real.state(session_id) != "closed":
            await asyncio.sleep(0.05)


def kinds_and_texts(events: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(event["kind"], event.get("text")) for event in events]


def context(real: LiveAvatarWire, prompt: str) -> str:
    body = {"name": "Hours", "prompt": prompt, "opening_text": ""}
    return str(real.ask_for("POST", "/v1/contexts", body).raise_for_status().json()["data"]["id"])


async def test_the_web_sdk_runs_a_whole_full_session(real: LiveAvatarWire) -> None:
    persona = {"language": "en", "context_id": context(real, "We open at nine in the morning.")}
    session_id = real.create_token(avatar_persona=persona, max_session_duration=600, **LOW)
    async with application("liveavatar.html") as page:
        assert await start(page, real, session_id) == {"state": "CONNECTED", "seconds": 600}
        await page.wait_for_function("app.video.videoWidth === 640 && app.video.videoHeight === 360")

        await call(page, "call", "repeat", "Good evening.")
        assert kinds_and_texts(await call(page, "until", "avatar.speak_ended")) == [
            ("avatar.transcription", "Good evening."),
            ("avatar.speak_started", None),
            ("avatar.speak_ended", None),
        ]
        await call(page, "call", "message", "When do you open?")
        events = kinds_and_texts(await call(page, "until", "avatar.speak_ended"))
        assert ("avatar.transcription", "We open at nine in the morning.") in events

        await call(page, "call", "repeat", "A long text " * 40)
        await call(page, "until", "avatar.speak_started")
        await call(page, "call", "interrupt")
        await call(page, "until", "avatar.speak_ended")
        for name in ("startListening", "stopListening", "keepAlive", "stop"):
            await call(page, "call", name)
        assert ("disconnected", "CLIENT_INITIATED") in kinds_and_texts(await call(page, "until", "disconnected"))
        await until_over(real, session_id)
        assert real.entry(session_id)["end_reason"] == "USER_CLOSED"


async def test_the_web_sdk_receives_the_services_end_reason(real: LiveAvatarWire) -> None:
    async with application("liveavatar.html") as page:
        await start(page, real, real.create_token(is_sandbox=True, **LOW))
        real.move_clock(61)
        assert ("disconnected", "SERVER_INITIATED") in kinds_and_texts(await call(page, "until", "disconnected"))
        refused = await call(page, "refused", real.tokens[next(iter(real.tokens))], {"apiUrl": real.url})
        assert refused == "Session was already started"


async def test_push_to_talk_is_heard_while_pressed_and_answered(real: LiveAvatarWire, tmp_path: Path) -> None:
    """The microphone plays speech all the time."""
    microphone = tmp_path / "microphone.wav"
    record("One two three four five. Six seven eight nine ten.", microphone, pause_s=0)
    mode = {"interactivity_type": "PUSH_TO_TALK"}
    persona = {"language": "en", "context_id": context(real, "We open at nine in the morning.")}
    async with application("liveavatar.html", *microphone_switches(microphone)) as page:
        voice = {"voiceChat": {"mode": "PUSH_TO_TALK"}}
        await start(page, real, real.create_token(avatar_persona=persona, **mode, **LOW), **voice)
        await call(page, "call", "repeat", "Still here.")
        before = kinds_and_texts(await call(page, "until", "avatar.speak_ended"))
        assert not [kind for kind, _ in before if kind.startswith("user.")]
        await call(page, "voice", "startPushToTalk")
        await call(page, "until", "user.speak_started")
        await call(page, "call", "repeat", "I listen.")
        await call(page, "until", "avatar.speak_ended")
        await call(page, "voice", "stopPushToTalk")
        heard = kinds_and_texts(await call(page, "until", "user.transcription"))
        assert [text for kind, text in heard if kind == "user.transcription"] != [""]
        await call(page, "until", "avatar.speak_ended")
        await call(page, "call", "stop")


async def test_a_lite_session_plays_the_audio_it_is_sent(real: LiveAvatarWire) -> None:
    tone = base64.b64encode(bytes(range(0, 250, 2)) * 400).decode()  # about a second
    async with application("liveavatar.html") as page:
        await start(page, real, real.lite(**LOW))
        await call(page, "call", "repeatAudio", tone)
        kinds = [kind for kind, _ in kinds_and_texts(await call(page, "until", "avatar.speak_ended"))]
        assert kinds == ["avatar.speak_started", "avatar.speak_ended"]
        await call(page, "call", "repeatAudio", tone * 20)
        await call(page, "until", "avatar.speak_started")
        await call(page, "call", "interrupt")
        await call(page, "until", "avatar.speak_ended")
        await call(page, "call", "stop")
