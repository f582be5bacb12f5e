"""The same conversation on the other wire: the room comes with the start, commands and events travel in it."""

from __future__ import annotations

import os

import pytest
from playwright.async_api import Browser, expect

from tests.browser.room_page import FRAMES, PATIENCE_S, RoomPage, Stage
from tests.browser.test_room import LONG

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]
expect.set_options(timeout=PATIENCE_S * 1000)


@pytest.mark.skipif(os.environ.get("ROOMS") == "own", reason="this provider has rooms of its own only")
async def test_it_is_seen_heard_written_to_interrupted_and_ended(chromium: Browser, stage: Stage) -> None:
    """Demands 1, 3, 28, 33, 34, 35 with a provider whose commands the browser publishes."""
    text = "Hola ¿cómo estás?"
    async with RoomPage.opened(chromium, stage, slug="ines") as room:
        await room.start()
        await room.hears()  # the opening of its knowledge base
        first = await room.frames()
        await room.sees(f"({FRAMES})() > {first + 25}")
        assert await room.page.evaluate("[video.videoWidth, video.videoHeight]") == [1280, 720]
        await room.page.click("#interrupt")
        await room.hears_nothing()
        await room.write(text, "repeat")
        await room.has_said(text)
        before = await room.lines("avatar").count()
        await room.write("¿Cuál es el horario?")
        await expect(room.lines("avatar")).to_have_count(before + 1)
        await expect(room.lines("avatar").last).to_contain_text("lunes")
        await room.write(LONG, "repeat")
        await expect(room.lines("avatar").last).to_contain_text("cuatro")
        await room.page.click("#interrupt")
        await room.hears_nothing()
        await expect(room.lines("user").first).to_have_text(text)
        assert room.complaints == []
        await room.page.click("#end")
        await room.state("ended")
        await room.all_over()
        record = room.last_session()
        assert record["tasks"] == [text, "¿Cuál es el horario?", LONG]
        assert {"room_connected", "first_frame", "avatar_start_talking", "interrupted"} <= set(record["events"])
        assert (record["status"], record["reason"]) == ("ended", "user_stopped")
