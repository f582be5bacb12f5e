"""The device check in a real browser with a real LiveKit server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.room_page import RoomPage, Stage
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]
expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)


@pytest.mark.proof
async def test_check_results_are_shown_copied_and_recorded(chromium: Browser, stage: Stage, tmp_path: Path) -> None:
    """Requirements 58, 59 and 70; complaint 8.

    A refused microphone is shown, and text still works.
    """
    async with RoomPage.opened(chromium, stage, locale="en") as room:
        page = room.page
        await page.goto(f"{stage.portal.url}/check/")
        await page.click("#begin")
        await page.click("#yes")
        await page.wait_for_selector("body[data-checked=warnings]")
        marks = {check: page.locator(f"[data-check={check}] .badge:visible") for check in ("secure", "speakers", "udp")}
        for mark in marks.values():
            await expect(mark).to_have_text("Passed")
        await expect(page.locator("[data-check=udp]")).to_contain_text("Round trip:")
        await expect(page.locator("[data-check=microphone] .badge:visible")).to_have_text("Warning")
        await expect(page.locator("[data-check=microphone] .remedy:visible")).to_contain_text(
            "You can always write instead"
        )
        async with page.expect_download() as download:
            await page.click("#download")
        await (await download.value).save_as(tmp_path / "check.json")
        report = json.loads((tmp_path / "check.json").read_text())
        assert (report["secure"], report["udp"]) == ("ok fine", "ok fine")
        assert room.console_errors == []
        await page.goto(f"{stage.portal.url}/personas/small/")
        await room.start()
        await room.wait_for_events("check")
