"""Every fault of a performer, as observed in its room."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.emulator.viewer import LOUD, before_the_scene, scene
from tests.support import servers

pytestmark = pytest.mark.media

TEXT = "One two three four five six seven eight nine ten."


async def test_a_late_avatar_joins_when_it_is_due(livekit: servers.LiveKit) -> None:
    loop = asyncio.get_running_loop()
    async with before_the_scene(livekit, late_s=0.5) as stage:
        began = loop.time()
        joining = asyncio.create_task(stage.performer.join())
        await stage.viewer.until(lambda: "heygen" in stage.viewer.came)
        assert loop.time() - began >= 0.5
        await joining
        await stage.visible()


async def test_a_cancelled_late_avatar_never_joins(livekit: servers.LiveKit) -> None:
    async with before_the_scene(livekit, late_s=3600) as stage:
        joining = asyncio.create_task(stage.performer.join())
        await stage.viewer.send("hello")  # time enough for somebody who is not late to begin
        joining.cancel()
        await asyncio.wait({joining})
        await stage.performer.leave()
        assert not stage.viewer.came


async def test_an_avatar_without_video_shows_video_once_the_fault_is_removed(livekit: servers.LiveKit) -> None:
    async with scene(livekit, no_video=True) as stage:
        await stage.viewer.until(lambda: stage.viewer.peaks)
        assert stage.viewer.tracks == {"audio"}
        assert stage.present == [True]
        stage.performer.faults.no_video = False
        await stage.viewer.until(lambda: stage.viewer.frames)


async def test_sound_removed_by_a_fault_comes_back(livekit: servers.LiveKit) -> None:
    async with scene(livekit) as stage:
        await stage.visible()
        stage.performer.faults.no_audio = True
        await stage.viewer.until(lambda: stage.viewer.tracks == {"video"})
        stage.performer.faults.no_audio = False
        await stage.viewer.until(lambda: stage.viewer.tracks == {"audio", "video"})
        stage.performer.say(TEXT, task_id="t-1")
        await stage.viewer.until(lambda: max(peak for _, peak in stage.viewer.peaks[-5:]) > LOUD)


async def test_a_black_picture_keeps_its_frame_rate(livekit: servers.LiveKit) -> None:
    async with scene(livekit, black=True) as stage:
        await stage.visible()
        assert np.mean((await stage.viewer.see(10))[-1].luma) < 20
        stage.performer.faults.black = False
        await stage.viewer.until(lambda: np.mean(stage.viewer.frames[-1].luma) > 60)


async def test_a_frozen_picture_sends_no_frames_while_sound_continues(livekit: servers.LiveKit) -> None:
    async with scene(livekit) as stage:
        await stage.visible()
        stage.performer.faults.frozen = True
        await stage.viewer.hear(0.5)  # what was under way arrives
        count = len(stage.viewer.frames)
        await stage.viewer.hear(0.5)
        assert len(stage.viewer.frames) == count
        stage.performer.faults.frozen = False
        await stage.viewer.see(5)


async def test_an_avatar_can_leave_in_the_middle_of_a_sentence(livekit: servers.LiveKit) -> None:
    async with scene(livekit, leaves_after_s=0.5) as stage:
        await stage.visible()
        stage.performer.say(TEXT, task_id="t-1")
        await stage.viewer.until(lambda: "heygen" in stage.viewer.gone)
        assert "avatar_end_message" not in {packet["type"] for packet in stage.viewer.packets}


async def test_every_second_packet_can_be_lost(livekit: servers.LiveKit) -> None:
    told = await _told(livekit, "lost")
    assert told == [event for index, event in enumerate(_all()) if index % 2 == 0]


async def test_packets_can_be_duplicated(livekit: servers.LiveKit) -> None:
    assert await _told(livekit, "doubled") == [event for event in _all() for _ in range(2)]


async def test_neighbouring_packets_can_be_swapped(livekit: servers.LiveKit) -> None:
    assert await _told(livekit, "reordered") == ["avatar_talking_message", "avatar_start_talking", *_all()[:1:-1]]


def _all() -> list[str]:
    return ["avatar_start_talking", "avatar_talking_message", "avatar_end_message", "avatar_stop_talking"]


async def _told(livekit: servers.LiveKit, packets: str) -> list[str]:
    """Return the kinds of the packets that arrive for one word."""
    async with scene(livekit, packets=packets) as stage:
        stage.performer.say("Yes.", task_id="t-1")
        await stage.viewer.until(lambda: stage.events and stage.events[-1]["type"] == "avatar_stop_talking")
        stage.performer.faults.packets = None
        stage.performer.say("No.", task_id="t-2")
        await stage.viewer.until(lambda: stage.viewer.packets and stage.viewer.packets[-1]["task_id"] == "t-2")
        return [packet["type"] for packet in stage.viewer.packets if packet["task_id"] == "t-1"]
