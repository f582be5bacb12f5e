"""A whole conversation without a pointer."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.room_page import RoomPage, Stage

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

MAX_TABS = 60
HAS_FOCUS = """selector => {
  const { activeElement: it } = document;
  return it.matches(selector) && (it.matches(":focus-visible") || it.tabIndex < 0);
}"""


async def tab_to(page: Page, selector: str) -> None:
    """Press Tab until this element has visible focus."""
    for _ in range(MAX_TABS):
        await page.keyboard.press("Tab")
        if await page.evaluate(HAS_FOCUS, selector):
            return
    pytest.fail(f"{selector} cannot be reached with the Tab key")


@pytest.mark.proof
async def test_a_conversation_by_keyboard_alone(chromium: Browser, stage: Stage) -> None:
    async with RoomPage.opened(chromium, stage) as room:
        page, press = room.page, room.page.keyboard.press
        await page.goto(stage.portal.url)
        await tab_to(page, ".person a[href$='/lucia/']")
        await press("Enter")
        await room.state("ready")
        await press("Tab")  # the first thing on the page skips to Start
        await press("Enter")
        await tab_to(page, "#start")
        await press("Enter")
        await room.state("live")
        await expect(page.locator("#text")).to_be_focused()
        await page.keyboard.type("Hola ¿cómo estás?")
        await tab_to(page, "input[name=kind]:checked")
        await press("ArrowRight")
        assert await page.locator("input[name=kind][value=repeat]").is_checked()
        await page.keyboard.press("Shift+Tab")
        await page.keyboard.press("Shift+Tab")
        await expect(page.locator("#text")).to_be_focused()
        await press("Enter")
        await room.wait_for_line("Hola ¿cómo estás?")
        await tab_to(page, "#captions-switch")
        await press("Space")
        await expect(page.locator("#captions-switch")).to_have_attribute("aria-pressed", "false")
        await tab_to(page, "#end")
        await press("Enter")
        await room.state("ended")
        await expect(page.locator("#over")).to_be_focused()
        await tab_to(page, "#again")
