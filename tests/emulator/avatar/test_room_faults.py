"""Every fault of a performer, as observed in its room."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.emulator.viewer import LOUD, performer_in_room, performer_outside_room
from tests.support import servers

pytestmark = pytest.mark.media

TEXT = "One two three four five six seven eight nine ten."


async def test_a_late_avatar_joins_when_it_is_due(livekit: servers.LiveKit) -> None:
    loop = asyncio.get_running_loop()
    async with performer_outside_room(livekit, late_s=0.5) as setup:
        began = loop.time()
        joining = asyncio.create_task(setup.performer.join())
        await setup.viewer.until(lambda: "heygen" in setup.viewer.joined)
        assert loop.time() - began >= 0.5
        await joining
        await setup.visible()


async def test_a_cancelled_late_avatar_never_joins(livekit: servers.LiveKit) -> None:
    async with performer_outside_room(livekit, late_s=3600) as setup:
        joining = asyncio.create_task(setup.performer.join())
        await setup.viewer.send("hello")  # enough time for an avatar that is not late
        joining.cancel()
        await asyncio.wait({joining})
        await setup.performer.leave()
        assert not setup.viewer.joined


async def test_an_avatar_without_video_shows_video_once_the_fault_is_removed(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit, no_video=True) as setup:
        await setup.viewer.until(lambda: setup.viewer.peaks)
        assert setup.viewer.tracks == {"audio"}
        assert setup.present == [True]
        setup.performer.faults.no_video = False
        await setup.viewer.until(lambda: setup.viewer.frames)


async def test_sound_removed_by_a_fault_comes_back(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit) as setup:
        await setup.visible()
        setup.performer.faults.no_audio = True
        await setup.viewer.until(lambda: setup.viewer.tracks == {"video"})
        setup.performer.faults.no_audio = False
        await setup.viewer.until(lambda: setup.viewer.tracks == {"audio", "video"})
        setup.performer.say(TEXT, task_id="t-1")
        await setup.viewer.until(lambda: max(peak for _, peak in setup.viewer.peaks[-5:]) > LOUD)


async def test_a_black_picture_keeps_its_frame_rate(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit, black=True) as setup:
        await setup.visible()
        assert np.mean((await setup.viewer.next_frames(10))[-1].luma) < 20
        setup.performer.faults.black = False
        await setup.viewer.until(lambda: np.mean(setup.viewer.frames[-1].luma) > 60)


async def test_a_frozen_picture_sends_no_frames_while_sound_continues(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit) as setup:
        await setup.visible()
        setup.performer.faults.frozen = True
        await setup.viewer.hear(0.5)  # what was under way arrives
        count = len(setup.viewer.frames)
        await setup.viewer.hear(0.5)
        assert len(setup.viewer.frames) == count
        setup.performer.faults.frozen = False
        await setup.viewer.next_frames(5)


async def test_an_avatar_can_leave_in_the_middle_of_a_sentence(livekit: servers.LiveKit) -> None:
    async with performer_in_room(livekit, leaves_after_s=0.5) as setup:
        await setup.visible()
        setup.performer.say(TEXT, task_id="t-1")
        await setup.viewer.until(lambda: "heygen" in setup.viewer.departed)
        assert "avatar_end_message" not in {packet["type"] for packet in setup.viewer.packets}


async def test_every_second_packet_can_be_lost(livekit: servers.LiveKit) -> None:
    packets_of = await kinds_of_packets(livekit, "lost")
    assert packets_of == [event for index, event in enumerate(_all()) if index % 2 == 0]


async def test_packets_can_be_duplicated(livekit: servers.LiveKit) -> None:
    assert await kinds_of_packets(livekit, "doubled") == [event for event in _all() for _ in range(2)]


async def test_neighbouring_packets_can_be_swapped(livekit: servers.LiveKit) -> None:
    assert await kinds_of_packets(livekit, "reordered") == [
        "avatar_talking_message",
        "avatar_start_talking",
        *_all()[:1:-1],
    ]


def _all() -> list[str]:
    return ["avatar_start_talking", "avatar_talking_message", "avatar_end_message", "avatar_stop_talking"]


async def kinds_of_packets(livekit: servers.LiveKit, packets: str) -> list[str]:
    """Return the kinds of the packets that arrive for one word."""
    async with performer_in_room(livekit, packets=packets) as setup:
        setup.performer.say("Yes.", task_id="t-1")
        await setup.viewer.until(lambda: setup.events and setup.events[-1]["type"] == "avatar_stop_talking")
        setup.performer.faults.packets = None
        setup.performer.say("No.", task_id="t-2")
        await setup.viewer.until(lambda: setup.viewer.packets and setup.viewer.packets[-1]["task_id"] == "t-2")
        return [packet["type"] for packet in setup.viewer.packets if packet["task_id"] == "t-1"]
