"""The performer as seen, heard and read by a participant of its room."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import numpy as np
import pytest
from livekit import rtc

from heygen_portal.emulator.avatar import performer
from heygen_portal.emulator.avatar.performer import RoomPerformer
from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.speech.synthesis import speak
from tests.emulator.viewer import LOUD, Frame, performer_in_room, performer_outside_room, token
from tests.support import servers
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.media

SPANISH = Voice("es", 58, "f2")
QUESTION = "Hola ¿cómo estás? Bienvenida a la clínica."
LONG = "Una frase muy larga que nadie quiere oír hasta el final, y que por eso alguien interrumpe pronto. " * 3


@pytest.mark.parametrize(
    ("quality", "encoding", "size"),
    [
        ("low", "H264", (640, 360)),
        pytest.param("medium", "VP8", (852, 480), marks=pytest.mark.proof),
        pytest.param("high", "H264", (1280, 720), marks=pytest.mark.proof),
    ],
)
async def test_the_video_has_the_chosen_size(
    livekit: servers.LiveKit, quality: str, encoding: str, size: tuple[int, int]
) -> None:
    async with performer_in_room(livekit, {"quality": quality, "encoding": encoding}) as setup:
        await setup.visible()
        await setup.viewer.full_size(*size)


async def test_partial_messages_join_to_the_text(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit, {"voice": SPANISH}) as setup:
        await setup.visible()
        duration = setup.performer.say(QUESTION, task_id="t-1")
        stop = (await setup.viewer.packets_of("avatar_stop_talking"))[0]
        kinds = [packet["type"] for packet in setup.viewer.packets]
        pieces = kinds.count("avatar_talking_message")
        assert kinds == [
            "avatar_start_talking",
            *["avatar_talking_message"] * pieces,
            "avatar_end_message",
            "avatar_stop_talking",
        ]
        assert pieces == len(QUESTION.split())
        assert "".join(packet.get("message", "") for packet in setup.viewer.packets) == QUESTION
        assert {packet["task_id"] for packet in setup.viewer.packets} == {"t-1"}
        assert stop["duration_ms"] >= int(duration)
        assert setup.events == setup.viewer.packets


@pytest.mark.proof  # the test of an interruption and those of a FULL session's room hear sound and silence too
async def test_sound_plays_while_the_avatar_talks_and_silence_before_and_after(
    livekit: servers.LiveKit,
) -> None:
    async with performer_in_room(livekit, {"voice": SPANISH}) as setup:
        await setup.visible()
        assert max(await setup.viewer.hear(0.5)) < LOUD
        began = time.monotonic()
        setup.performer.say(QUESTION, task_id="t-1")
        await setup.viewer.packets_of("avatar_stop_talking")
        await setup.viewer.until(lambda: len(setup.viewer.sound_times(began)) > 100)  # of ten milliseconds each
        await setup.viewer.silence(0.5)


@pytest.mark.proof  # the test of client audio sees an open mouth too
async def test_the_mouth_moves_only_while_the_avatar_talks(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit, {"voice": SPANISH}) as setup:
        await setup.visible()
        assert openings(await setup.viewer.next_frames(25)) == 0
        setup.performer.say(LONG, task_id="t-1")
        talking: list[Frame] = []
        while openings(talking) <= 5:
            talking += await setup.viewer.next_frames(5)
        assert {packet["type"] for packet in setup.viewer.packets} == {"avatar_start_talking", "avatar_talking_message"}
        setup.performer.interrupt()
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            # Frames and packets arrive independently of each other.
            while openings(await setup.viewer.next_frames(25)):
                pass


def openings(frames: list[Frame]) -> int:
    """Return how often a dark open mouth appears and disappears."""
    return sum(one != other for one, other in pairwise(map(is_open, frames)))


def is_open(frame: Frame) -> bool:
    return bool(np.mean(frame.luma[218:250, 295:345] < 75) > 0.05)


async def test_an_interruption_stops_speech_and_clears_the_queue(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit, {"voice": SPANISH}) as setup:
        await setup.visible()
        setup.performer.say(LONG, task_id="t-1")
        setup.performer.say("Y esto no se dice nunca.", task_id="t-2")
        await setup.viewer.packets_of("avatar_talking_message", 4)
        setup.performer.interrupt()
        await setup.viewer.packets_of("avatar_stop_talking")
        await setup.viewer.silence(1)  # no pause within it is so long
        assert len(setup.viewer.sound_times(0)) / 100 < speak(LONG, SPANISH).seconds / 2
        assert "avatar_end_message" not in {packet["type"] for packet in setup.viewer.packets}
        assert {packet["task_id"] for packet in setup.viewer.packets} == {"t-1"}
        setup.performer.say("Hola", task_id="t-3")
        assert (await setup.viewer.packets_of("avatar_stop_talking", 2))[1]["task_id"] == "t-3"


async def test_tasks_are_spoken_one_after_another(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit) as setup:
        for task_id in ("t-1", "t-2"):
            setup.performer.say("Yes.", task_id=task_id)
        await setup.viewer.packets_of("avatar_stop_talking", 2)
        turns = [packet["task_id"] for packet in setup.viewer.packets]
        assert turns == sorted(turns)


async def test_a_question_is_answered_from_the_knowledge_base(livekit: servers.LiveKit) -> None:
    knowledge = "La primera consulta cuesta 40 euros.\nAbrimos a las 8."
    async with performer_in_room(livekit, {"voice": SPANISH, "knowledge": knowledge}) as setup:
        setup.performer.answer("¿Cuánto cuesta la consulta?", task_id="t-1")
        await setup.viewer.packets_of("avatar_stop_talking")
        assert "".join(packet.get("message", "") for packet in setup.viewer.packets) == knowledge.splitlines()[0]


async def test_client_audio_is_played_and_moves_the_mouth(livekit: servers.LiveKit) -> None:
    tone = (8000 * np.sin(np.arange(24_000) * 0.1)).astype(np.int16).tobytes()  # one second
    async with performer_in_room(livekit) as setup:
        await setup.visible()
        for start in range(0, len(tone), 9600):
            setup.performer.play(tone[start : start + 9600], task_id="e-1")
        setup.performer.end_play("e-1")
        await setup.viewer.packets_of("avatar_stop_talking")
        assert [packet["type"] for packet in setup.viewer.packets] == ["avatar_start_talking", "avatar_stop_talking"]
        await setup.viewer.until(lambda: len(setup.viewer.sound_times(0)) > 80)
        assert any(map(is_open, setup.viewer.frames))


async def test_users_are_reported_but_agents_are_not(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit) as setup:
        assert setup.present == [True]
        assert setup.users == [True]
        agent = rtc.Room()
        await agent.connect(livekit.url, token(livekit, setup.room, "agent-1234"))
        await agent.disconnect()
        await setup.viewer.room.disconnect()
        await setup.viewer.until(lambda: len(setup.users) > 1)
        assert setup.users == [True, False]


async def test_a_subscriber_counts_as_present_before_livekit_announces_it(
    livekit: servers.LiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RoomPerformer, "_on_joined", lambda *_: None)  # the announcement never comes
    monkeypatch.setattr(performer, "_ANNOUNCEMENT_SECONDS", 0.2)
    async with performer_in_room(livekit) as setup:
        await setup.viewer.until(lambda: setup.users)
        assert setup.users[0] is True
        await setup.viewer.until(lambda: len(setup.users) == 2)
        assert setup.users[1] is False  # left unannounced, so nothing tells of its leaving


async def test_among_agents_only_data_tells_of_a_user_who_is_not_announced(livekit: servers.LiveKit) -> None:
    async with performer_outside_room(livekit, is_hidden=True) as setup:  # LiveKit never announces this one
        subscribed: list[bool] = []
        setup.performer._room.on("local_track_subscribed", lambda _: setup.viewer.record(subscribed, True))
        agent = rtc.Room()
        await agent.connect(livekit.url, token(livekit, setup.room, "agent-1234"))
        try:
            await setup.performer.join()
            await setup.viewer.until(lambda: len(subscribed) == 2)
            assert setup.users == []
            await setup.viewer.send("hello")
            await setup.viewer.until(lambda: setup.users)
            assert setup.users == [True]
        finally:
            await agent.disconnect()


async def test_a_text_on_the_data_channel_is_answered(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit, {"knowledge": "The office opens at nine.", "opening": "Welcome!"}) as setup:
        for nonsense in ({"type": "text", "text": "hello"}, None, 7, "push_to_talk:stop"):
            await setup.viewer.send(nonsense)
        await setup.viewer.send("hello")
        await setup.viewer.packets_of("avatar_stop_talking")
        assert "".join(packet.get("message", "") for packet in setup.viewer.packets) == "Welcome!"


async def test_leaving_twice_leaves_once(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit) as setup:
        await setup.visible()
        await setup.performer.leave()
        await setup.performer.leave()
        await setup.viewer.until(lambda: "heygen" in setup.viewer.departed)


async def test_cancelling_a_join_while_publishing_logs_no_stack_trace(
    livekit: servers.LiveKit, caplog: pytest.LogCaptureFixture
) -> None:
    """Events of tracks whose publication was aborted log no errors."""
    async with performer_outside_room(livekit) as setup:
        joining = asyncio.create_task(setup.performer.join())
        while not setup.performer._publications:
            await asyncio.sleep(0)
        for _ in range(3):  # steps of the loop, until both have been asked for
            await asyncio.sleep(0)
        joining.cancel()
        await asyncio.wait({joining})
        await setup.visible()
        await setup.performer.leave()
        await setup.viewer.until(lambda: "heygen" in setup.viewer.departed)
    assert not [record for record in caplog.records if record.exc_info]
