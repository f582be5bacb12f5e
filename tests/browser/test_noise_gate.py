"""Hands-free in a noisy room: only speech reaches the avatar.

The emulator's recognition would take a clap for words.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import expect

from tests.browser import microphone_sounds
from tests.browser.conftest import SPOKEN_TEXT
from tests.browser.room_page import RoomPage, Stage, until
from tests.support.browsing import ALLOW_SOUND, browser
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]
expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)


@pytest.mark.proof
async def test_noises_are_not_taken_for_speech(stage: Stage, tmp_path: Path) -> None:
    """Complaint 11. Without the gate, the same sounds are taken for speech."""
    recording = tmp_path / "noises.wav"
    microphone_sounds.record(
        np.concatenate([microphone_sounds.clatter(), microphone_sounds.speak_text(SPOKEN_TEXT)]), recording
    )
    async with (
        browser(ALLOW_SOUND, *microphone_sounds.microphone(recording)) as chromium,
        RoomPage.opened(chromium, stage, slug="daniel", locale="en", permissions=["microphone"]) as room,
    ):
        page = room.page
        spoken = page.locator(".line--you")
        await room.start()
        await page.click("#mic-more")
        await expect(page.locator("#gate")).to_be_hidden()
        await page.check("input[name=voice-mode][value=hands_free]")
        await expect(page.locator("#speech-only")).to_be_checked()
        await page.keyboard.press("Escape")
        await page.click("#mic")
        await expect(page.locator("#mic .level.is-kept")).to_be_visible()
        await expect(spoken).to_have_count(3)
        await expect(page.locator("#mic .level.is-kept")).to_be_visible()
        for line in await spoken.all():
            await expect(line).to_contain_text(re.compile("weather|whether|today"))  # or what the ear makes of it

        await page.click("#mic-more")
        await page.uncheck("#speech-only")
        await expect(page.locator("#mic .level.is-kept")).to_have_count(0)

        async def heard_more_than_was_said() -> bool:
            events = room.last_session()["events"]
            return bool(events.count("user_start") > events.count("user_end_message") + 1)

        begun = room.last_session()["events"]
        assert begun.count("user_start") - begun.count("user_end_message") in (0, 1)  # one may be being said
        await until(heard_more_than_was_said)
        assert room.console_errors == []
