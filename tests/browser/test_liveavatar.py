"""A conversation with LiveAvatar.

Its start returns the room; commands and events travel in the room.
"""

from __future__ import annotations

import os
import re

import pytest
from playwright.async_api import Browser, expect

from tests.browser.room_page import FRAMES, RoomPage, Stage
from tests.browser.test_room import LONG
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [
    pytest.mark.browser,
    pytest.mark.media,
    pytest.mark.proof,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.skipif(os.environ.get("ROOMS") == "own", reason="this provider has rooms of its own only"),
]
expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)

PARTS = "addEventListener('room:open', ({ detail }) => (window.parts = detail), true)"
PUBLISHED = "parts.room.livekitRoom.localParticipant.trackPublications.size === 1"
LEVEL = "Number(document.querySelector('#mic .level').dataset.level)"
PRESS_TWICE = """parts.room.publish("agent-control", '{"event_type": "user.start_push_to_talk"}')"""


async def test_a_hands_free_conversation(with_microphone: Browser, stage: Stage) -> None:
    """Requirements 1, 2, 3, 28, 33, 34, 35: the browser publishes the commands."""
    text, question = "Hola ¿cómo estás?", "When are invoices sent?"
    async with RoomPage.opened(with_microphone, stage, slug="nora", locale="en", permissions=["microphone"]) as room:
        await room.start()
        await room.wait_for_sound()  # the opening of its knowledge base
        first = await room.frames()
        await room.wait_for(f"({FRAMES})() > {first + 25}")
        await room.wait_for("video.videoWidth === 640 && video.videoHeight === 360")
        await room.page.click("#interrupt")
        await room.wait_for_silence()
        await room.write(text, "repeat")
        await room.wait_for_line(text)
        before = await room.lines("avatar").count()
        await room.write(question)
        await expect(room.lines("avatar")).to_have_count(before + 1)
        await expect(room.lines("avatar").last).to_contain_text("first day")
        await room.write(LONG, "repeat")
        await expect(room.lines("avatar").last).to_contain_text("cuatro")
        await room.page.click("#interrupt")
        await room.wait_for_silence()
        await expect(room.lines("user").first).to_have_text(text)

        await room.page.click("#mic-more")
        await room.page.check("input[name=voice-mode][value=hands_free]")
        await room.page.keyboard.press("Escape")
        await room.page.click("#mic")
        spoken = room.page.locator(".line--you", has_text=re.compile("weather"))
        await expect(spoken.first).to_contain_text("by voice")
        assert room.console_errors == []
        await room.page.click("#end")
        await room.state("ended")
        await room.wait_until_all_ended()
        record = room.last_session()
        assert record["tasks"] == [text, question, LONG]
        assert {"room_connected", "first_frame", "avatar_start_talking", "interrupted"} <= set(record["events"])
        assert (record["status"], record["reason"]) == ("ended", "user_stopped")


async def test_push_to_talk_and_a_refused_press(with_microphone: Browser, stage: Stage) -> None:
    """Requirement 2, for a session that is created for one listening mode only."""
    async with RoomPage.opened(
        with_microphone, stage, slug="amara", locale="en", permissions=["microphone"], init=PARTS
    ) as room:
        page = room.page
        await room.start()
        await page.click("#mic")
        await room.wait_for(PUBLISHED)
        await expect(page.locator("#hold")).to_be_focused()
        await page.keyboard.down("Space")
        await page.evaluate(PRESS_TWICE)
        await expect(page.get_by_text("could not listen")).to_be_visible()
        for loud in ("=== 0", "> 0", "=== 0"):  # the whole utterance, at any position of the recording
            await room.wait_for(f"{LEVEL} {loud}")
        await page.keyboard.up("Space")
        await expect(page.locator(".line--you").first).to_contain_text("by voice")
        assert await page.locator("input[name=voice-mode]").count() == 1
        assert room.console_errors == []
