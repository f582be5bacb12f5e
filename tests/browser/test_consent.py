"""The notice that a user accepts before the start, and the AI label on the picture."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.room_page import SHOW_STATE, RoomPage, Stage

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

NEW_VERSION = """
from heygen_portal.models import Organisation
from heygen_portal.people.organisation import changes
from heygen_portal.trail.change_log import SERVER
organisation = Organisation.objects.get()
organisation.terms_url = "https://example.org/terms"
changes.store(organisation, SERVER)
"""
# Whether the label is what lies on top at its middle and its corners. Taps pass through it, hence the attribute.
IS_UNCOVERED = """() => {
  const label = document.querySelector(".chip--ai"), { x, y, width, height } = label.getBoundingClientRect();
  if (!width || x < 0 || y < 0 || x + width > innerWidth) return false;
  label.style.pointerEvents = "auto";
  const points = [[.5, .5], [.1, .5], [.9, .5]].map(([across, down]) => [x + width * across, y + height * down]);
  const isOnTop = points.every((point) => label.contains(document.elementFromPoint(...point)));
  label.style.pointerEvents = "";
  return isOnTop;
}"""
STATES_WITH_PICTURE = (
    *("ready", "queue", "take-over", "connecting", "live"),
    *("tap", "ending", "recovering", "sound", "taken-over"),
)


async def expect_label(page: Page) -> None:
    await expect(page.locator(".chip--ai")).to_have_text("AI avatar")
    assert await page.evaluate(IS_UNCOVERED)


async def test_a_start_needs_the_present_notice_and_the_label_stays_on_the_picture(
    chromium: Browser, stage: Stage
) -> None:
    async with RoomPage.opened(chromium, stage, slug="asking", locale="es") as room:
        page, box, error = room.page, room.page.locator("#agree"), room.page.locator("#agree-error")
        await expect(page.locator("#notice")).to_contain_text("You are talking to an AI, not a person")
        await page.click("#start")
        await expect(error).to_have_text("Marca la casilla para poder empezar.")
        await expect(box).to_be_focused()
        # The notice changes while the page is open.
        stage.portal.manage("shell", "-v0", "-c", NEW_VERSION)
        await box.check()
        await page.click("#start")
        await expect(error).to_have_text("El aviso ha cambiado. Léelo y marca la casilla.")
        await expect(page.locator("#notice")).to_contain_text("Terms of use")
        await expect(box).not_to_be_checked()
        assert await page.get_attribute("body", "data-state") == "ready"
        await box.check()
        await room.start()
        await expect_label(page)
        await page.click("#end")
        await expect(page.locator("body")).to_have_attribute("data-state", "ended")
        # Another conversation asks for nothing, until the user withdraws.
        await page.reload()
        await expect(page.locator(".accepted")).to_contain_text("Aceptaste este aviso el")
        await expect(box).to_have_count(0)
        await page.click(".accepted button")
        await expect(box).to_be_visible()


@pytest.mark.daily(1)
@pytest.mark.parametrize("size", [(1280, 800), (390, 844), (360, 640)], ids=str)
async def test_nothing_covers_the_label_in_any_state(chromium: Browser, stage: Stage, size: tuple[int, int]) -> None:
    viewport = {"width": size[0], "height": size[1]}
    async with RoomPage.opened(chromium, stage, slug="asking", locale="es", viewport=viewport) as room:
        for state in STATES_WITH_PICTURE:
            await room.page.evaluate(SHOW_STATE, state)
            await room.page.evaluate("scrollTo(0, 0)")
            await expect_label(room.page)
        if size[0] > 1000:
            await room.page.evaluate(SHOW_STATE, "live")
            await room.page.click("#full-screen")
            await room.wait_for("document.fullscreenElement?.id === 'picture'")
            await expect_label(room.page)
