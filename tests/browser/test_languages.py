"""A conversation continues in another language and on another device."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.page_checks import PageChecks
from tests.browser.room_page import FRAMES, RoomPage, Stage

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

BOTH = """
from avatars.personas import starters
from avatars.models import ProviderAccount
account = ProviderAccount.objects.get(kind="heygen")
for slug, works in zip(("ines", "ines-en"), starters.STARTERS):
    starters.publish_starter(account, works | {"slug": slug, "name": "Inés"})
"""

GREETING, QUESTION = "مرحبًا، أنا سلمى. كيف يمكنني مساعدتك؟", "متى تفتحون أبوابكم غدًا؟"
IN_ARABIC = f"""
from avatars.models import Persona
persona = Persona.objects.get(slug="daniel")
persona.pk, persona.current, persona.slug = None, None, "salma"
persona.name, persona.language, persona.greeting = "سلمى", "ar", "{GREETING}"
persona.save()
"""
DIRECTION = "element => getComputedStyle(element).direction"


@pytest.mark.proof
@pytest.mark.parametrize("width", [1280, 390])
async def test_a_conversation_in_arabic_is_written_from_right_to_left(
    chromium: Browser, stage: Stage, pictures: Path, width: int
) -> None:
    """The page's own language stays as it is, so its controls keep their sides."""
    if width == 1280:
        stage.portal.manage("shell", "-v0", "-c", IN_ARABIC)
    async with RoomPage.opened(chromium, stage, slug="salma", viewport={"width": width, "height": 800}) as room:
        page_checks = PageChecks(room.page, f"arabic-{width}", pictures)
        await room.start()
        await room.wait_for_line(GREETING)
        caption = room.page.locator("#caption")
        await room.write(QUESTION, "repeat")
        await room.wait_for_line(QUESTION)
        for line in (room.lines("avatar").first, room.lines("user").last, room.lines("avatar").last, caption):
            assert await line.evaluate(DIRECTION) == "rtl"
        assert await room.page.evaluate("document.documentElement.dir") in ("", "ltr")
        await page_checks.check("live", picture="light")
        await room.page.click("#end")
        await room.state("ended")
        assert (page_checks.problems, room.console_errors) == ([], [])


@pytest.mark.proof
async def test_a_conversation_continues_in_another_language_and_quality(
    chromium: Browser, stage: Stage, pictures: Path
) -> None:
    """Complaints 7 and 15: no line is lost, and the avatar keeps the context.

    Requirement 53: the rating.
    """
    stage.portal.manage("shell", "-v0", "-c", BOTH)
    async with RoomPage.opened(chromium, stage, slug="ines", reduced_motion="reduce") as room:
        page, page_checks = room.page, PageChecks(room.page, "es", pictures)
        await page_checks.check("languages-ready")
        await room.start()
        await room.write("Hola ¿cómo estás?", "repeat")
        await room.wait_for_line("Hola ¿cómo estás?")
        await room.write("Mi pedido tiene el número 4711.")
        await page_checks.check("languages-live")
        await page.click("[data-language]")
        await page.wait_for_url("**/personas/ines-en/")
        await room.state("live")
        await room.wait_for_line("Hello, I am Daniel. What can I do for you?")
        assert await room.lines("user").all_text_contents() == ["Hola ¿cómo estás?", "Mi pedido tiene el número 4711."]
        await room.write("4711?")  # the emulator answers with what its prompt has
        await room.wait_for_line("The user: “Mi pedido tiene el número 4711.”")
        await page.click("[popovertarget=quality-panel]")
        await page_checks.check("size")
        await page.click("[data-quality=low]")
        await expect(page.locator("#releasing")).to_be_visible()
        await room.state("live")
        await room.wait_for("document.querySelector('#video').videoWidth === 640")
        await expect(room.lines("user")).to_have_count(3)
        async with RoomPage.opened(chromium, stage, slug="ines") as phone:  # in the first language again, over there
            await phone.page.click("#start")
            await phone.page.click("#bring")
            await phone.state("live")
            await room.state("taken-over")
            await expect(phone.lines("user")).to_have_count(3)
            await page.click("#fetch")
            await room.state("live")
            await phone.state("taken-over")
            await room.wait_for(f"({FRAMES})() > {await room.frames() + 25}")  # so that there is something to tell of
            await page.click("#end")
            await room.state("ended")
            await expect(page.locator("#closed")).to_be_visible()
            await page.get_by_role("radio", name="Buena").check()
            await room.wait_for_events("picture", "rated")
        assert (page_checks.problems, room.console_errors) == ([], [])
