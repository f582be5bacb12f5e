"""Speech recognition: detection, transcription, reports and answers."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from livekit import rtc

from heygen_portal.emulator.sessions.interfaces import HearingSettings, Voice
from heygen_portal.emulator.speech import recognition, recognition_engines
from heygen_portal.emulator.speech.recognition import SpeechRecognizer
from heygen_portal.emulator.speech.synthesis import SAMPLE_RATE, speak
from heygen_portal.emulator.speech.voice_activity import VoiceActivity
from tests.emulator.viewer import performer_in_room
from tests.support import servers
from tests.timeouts import WAIT_TIMEOUT_S

WEATHER = "what is the weather today"  # a synthetic voice that the English model understands
COUNT = "one two three four five"  # and does even twice in a row, where other words run together
HEARD = ["user_start", "user_talking_message", "user_end_message", "user_stop"]
SECOND = bytes(32_000)  # of silence


def microphone_audio(text: str, language: str = "en") -> bytes:
    """Return speech as a microphone sends it: 16 kHz, mono."""
    pcm = speak(text, Voice(language)).pcm
    resampler = rtc.AudioResampler(SAMPLE_RATE, 16_000, num_channels=1)
    frames = resampler.push(rtc.AudioFrame(pcm, SAMPLE_RATE, 1, len(pcm) // 2)) + resampler.flush()
    return b"".join(frame.data.tobytes() for frame in frames)


class Listening:
    """A recognizer and what it reported."""

    def __init__(self, language: str, hearing: HearingSettings) -> None:
        self.events: list[dict[str, Any]] = []
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.recognizer = SpeechRecognizer(
            hearing,
            language,
            report=self.events.append,
            on_text=self.texts.put_nowait,
            on_no_model=self.texts.put_nowait,
        )

    def hear(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), 1024):  # as the published client cuts it
            self.recognizer.hear(pcm[start : start + 1024])

    async def text(self) -> str:
        return await asyncio.wait_for(self.texts.get(), WAIT_TIMEOUT_S)

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]


@asynccontextmanager
async def listening(language: str, hearing: HearingSettings | None = None) -> AsyncIterator[Listening]:
    here = Listening(language, hearing or HearingSettings())
    try:
        yield here
    finally:
        await here.recognizer.close()


async def test_an_utterance_is_reported_in_order_and_answered() -> None:
    async with listening("en") as here:
        here.hear(SECOND + microphone_audio(WEATHER) + SECOND)
        assert await here.text() == WEATHER
        assert here.kinds == HEARD
        assert here.events[1]["message"] == WEATHER
        assert {event["task_id"] for event in here.events} == {"user-1"}


@pytest.mark.proof
async def test_two_utterances_are_two_tasks() -> None:
    async with listening("en") as here:
        for _ in range(2):
            here.hear(SECOND + microphone_audio(WEATHER) + SECOND)
            assert await here.text()
        assert [event["task_id"] for event in here.events if event["type"] == "user_start"] == ["user-1", "user-2"]


async def test_an_utterance_ends_when_no_more_audio_arrives() -> None:
    """Clients that close the microphone just stop sending."""
    async with listening("en") as here:
        here.hear(SECOND + microphone_audio(WEATHER))
        assert await here.text() == WEATHER


async def test_push_to_talk_hears_one_utterance_between_press_and_release() -> None:
    async with listening("en") as here:
        here.recognizer.press(False)
        here.hear(SECOND + microphone_audio(WEATHER) + SECOND)
        assert here.events == []
        here.recognizer.press(True)
        here.hear(SECOND + microphone_audio(COUNT) + SECOND + SECOND + microphone_audio(COUNT))
        here.recognizer.press(False)
        assert (await here.text()).count("three four") == 2
        assert here.kinds == HEARD


@pytest.mark.proof
async def test_push_to_talk_hears_nothing_before_the_first_press() -> None:
    async with listening("en", HearingSettings(push_to_talk=True)) as here:
        here.hear(SECOND + microphone_audio(WEATHER) + SECOND)
        assert here.events == []
        here.recognizer.press(True)
        here.hear(SECOND + microphone_audio(COUNT))
        here.recognizer.press(False)
        assert (await here.text()).count("three four") == 1


@pytest.mark.parametrize(
    ("person", "voice"),
    [("en-US", "es"), *(pytest.param(person, "en", marks=pytest.mark.proof) for person in ("", "?!"))],
)
async def test_speech_is_recognized_in_the_chosen_language_or_the_voices(person: str, voice: str) -> None:
    async with listening(voice, HearingSettings(language=person)) as here:
        here.hear(SECOND + microphone_audio(WEATHER) + SECOND)
        assert await here.text() == WEATHER


async def test_noise_and_hum_are_not_taken_for_speech() -> None:
    random = np.random.default_rng(0)
    activity = VoiceActivity()
    noise = (random.standard_normal(16_000 * 10) * 60).astype(np.int16).tobytes()
    assert activity.feed(noise) is None
    assert not activity.speaking
    hum = (random.standard_normal(16_000 * 3) * 100).astype(np.int16).tobytes()
    activity.feed(hum)
    activity.feed(microphone_audio(WEATHER))
    assert activity.speaking


async def test_endless_speech_is_split_into_utterances() -> None:
    activity = VoiceActivity()
    ended = [activity.feed(microphone_audio(WEATHER)[:30_000]) for _ in range(30)]
    assert sum(utterance is not None for utterance in ended) == 1


async def test_without_a_model_the_avatar_says_so_and_logs_it_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognition, "_languages_reported", set())
    monkeypatch.delenv(recognition_engines.MODEL_VARIABLE, raising=False)
    with caplog.at_level(logging.WARNING):
        async with listening("es") as here:
            for _ in range(2):
                here.hear(SECOND + microphone_audio("Hola, buenos días", "es") + SECOND)
                assert "no puedo entender" in await here.text()
            assert here.kinds == ["user_start", "user_stop"] * 2
    assert len(caplog.records) == 1


async def test_a_hanging_engine_is_killed_and_the_next_utterance_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition_engines, "_MIN_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(recognition_engines, "_TIMEOUT_FACTOR", 0)
    hangs = recognition_engines.EngineProcess(sys.executable, "-c", "import time; time.sleep(600)")
    hangs.users = 1
    assert await hangs.recognize(SECOND) == ""
    assert hangs._process is None
    monkeypatch.setattr(recognition_engines, "_MIN_TIMEOUT_SECONDS", WAIT_TIMEOUT_S)
    hangs._command = (sys.executable, "-c", 'print(\'{"text": "hello"}\')')
    assert await hangs.recognize(SECOND) == "hello"
    await hangs.close()


async def test_a_crashed_engine_loses_one_utterance() -> None:
    dies = recognition_engines.EngineProcess(sys.executable, "-c", "")
    dies.users = 1
    assert await dies.recognize(SECOND * 30) == ""
    await dies.close()


@pytest.mark.media
class TestInARoom:
    PART = {"quality": "low", "voice": Voice("en"), "knowledge": "The weather is fine today."}

    @pytest.mark.proof
    async def test_a_microphone_is_heard_if_the_session_listens(self, livekit: servers.LiveKit) -> None:
        async with performer_in_room(livekit, {**self.PART, "listens": True}) as setup:
            microphone = await Microphone.opened(setup.viewer.room)
            await microphone.say(SECOND + microphone_audio(WEATHER) + SECOND)
            await setup.viewer.packets_of("avatar_stop_talking")
            kinds = [packet["type"] for packet in setup.viewer.packets]
            assert kinds[:5] == [*HEARD, "avatar_start_talking"]
            await microphone.close()

    @pytest.mark.proof
    async def test_a_users_newest_microphone_track_is_heard(self, livekit: servers.LiveKit) -> None:
        async with performer_in_room(livekit, {**self.PART, "listens": True}) as setup:
            first = await Microphone.opened(setup.viewer.room)
            await first.say(SECOND)
            second = await Microphone.opened(setup.viewer.room)
            await second.say(SECOND + microphone_audio(WEATHER) + SECOND)
            assert (await setup.viewer.packets_of("user_talking_message"))[0]["message"]
            await first.close()
            await second.close()

    @pytest.mark.proof
    async def test_a_session_without_listening_subscribes_to_no_microphone(self, livekit: servers.LiveKit) -> None:
        async with performer_in_room(livekit, self.PART) as setup:
            microphone = await Microphone.opened(setup.viewer.room)
            await microphone.say(SECOND + microphone_audio(WEATHER) + SECOND)
            setup.performer.say("Yes.", task_id="t-1")
            await setup.viewer.packets_of("avatar_stop_talking")
            assert not [packet for packet in setup.viewer.packets if packet["type"].startswith("user_")]
            await microphone.close()

    @pytest.mark.proof
    async def test_speech_from_a_socket_is_reported_only_to_the_socket(self, livekit: servers.LiveKit) -> None:
        async with performer_in_room(livekit, self.PART) as setup:
            setup.performer.hear(SECOND + microphone_audio(WEATHER) + SECOND)
            await setup.viewer.packets_of("avatar_stop_talking")
            assert [event["type"] for event in setup.events][:4] == HEARD
            assert not [packet for packet in setup.viewer.packets if packet["type"].startswith("user_")]


class Microphone:
    """An audio track that a user publishes."""

    def __init__(self) -> None:
        self._source = rtc.AudioSource(16_000, 1)
        self._track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)

    @classmethod
    async def opened(cls, room: rtc.Room) -> Microphone:
        microphone = cls()
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await room.local_participant.publish_track(microphone._track, options)
        return microphone

    async def say(self, pcm: bytes) -> None:
        """Play audio into the room. Returns when all of it has been sent."""
        for start in range(0, len(pcm), 3200):
            chunk = pcm[start : start + 3200]
            await self._source.capture_frame(rtc.AudioFrame(chunk, 16_000, 1, len(chunk) // 2))
        await self._source.wait_for_playout()

    async def close(self) -> None:
        await self._source.aclose()
