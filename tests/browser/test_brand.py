"""A brand chosen in the admin, on every kind of page: both themes, both languages, desk and phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.async_api import Browser, ConsoleMessage, FilePayload, expect

from tests.browser.page_checks import SET_THEME, WIDE, PageChecks
from tests.support import servers
from tests.support.browsing import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.proof, pytest.mark.asyncio(loop_scope="package")]

EMBED = """
from avatars.models import Persona
from heygen_portal.trail.change_log import SERVER
from sessions.embed import settings
embed = settings.of_persona(Persona.objects.published().first())
embed.is_enabled, embed.origins = True, ["https://www.examplia.test"]
settings.save(embed, SERVER)
print(embed.public_id)
"""
PAGES = {
    "gallery": "/",
    "help": "/help/",
    "room": "/personas/lucia/",
    "device-check": "/check/",
    "conversations": "/conversations/",
    "data": "/data/",
    "about": "/about/",
    "not-found": "/nothing/",
}
ACCENT = "rgb(138, 31, 92)"


@pytest.fixture(scope="module")
def portal() -> Iterator[servers.Portal]:
    with servers.emulator(media=False) as emulator, servers.portal(emulator) as portal:
        yield portal


def drawn(size: tuple[int, int], colour: str) -> FilePayload:
    picture = Image.new("RGBA", size)
    ImageDraw.Draw(picture).ellipse((0, 0, size[1], size[1]), colour)
    ImageDraw.Draw(picture).rectangle((size[1], size[1] // 3, size[0], size[1] * 2 // 3), colour)
    output = BytesIO()
    picture.save(output, "PNG")
    return FilePayload(name="logo.png", mimeType="image/png", buffer=output.getvalue())


async def test_a_brand_chosen_in_the_admin_is_on_every_page(
    chromium: Browser, portal: servers.Portal, pictures: Path
) -> None:
    async with await chromium.new_context(locale="en", viewport=WIDE, reduced_motion="reduce") as context:
        page = await context.new_page()
        await sign_in(page, portal, "admin", "/admin/")
        await page.goto(f"{portal.url}/admin/heygen_portal/organisation/1/change/")
        await page.fill("[name=portal_name]", "Clínica Aurora")
        await page.fill("[name=accent]", "#ffb3d9")
        await page.set_input_files(
            "[name=logo_file]", FilePayload(name="logo.svg", mimeType="image/svg+xml", buffer=b"<svg/>")
        )
        await page.locator("[name=_save]").click()
        await expect(page.get_by_text("SVG can contain scripts and is not accepted.")).to_be_visible()
        await expect(page.get_by_text("#ffb3d9 on light recessed areas (#eceae4) has a contrast of")).to_be_visible()
        refused = PageChecks(page, "en", pictures)
        await refused.take_picture("brand-refused")
        await page.fill("[name=accent]", "#8a1f5c")
        await page.set_input_files("[name=logo_file]", drawn((120, 100), "#8a1f5c"))
        await page.set_input_files("[name=icon_file]", drawn((100, 100), "#8a1f5c"))
        await page.locator("[name=_continue]").click()
        await expect(page.locator("#site-name")).to_have_text("Clínica Aurora")
        assert await page.title() == "Organisation | Change organisation | Clínica Aurora"
        await refused.take_picture("brand-admin")
        cookies = await context.storage_state()
    public_id = portal.manage("shell", "-v0", "-c", EMBED).split()[-1]
    for language in ("es", "en"):
        problems: list[str] = []

        def record(message: ConsoleMessage, problems: list[str] = problems) -> None:
            # Where a page is none, and where a guest's page is in no frame.
            if message.type == "error" and not re.search("40[34]", message.text):
                problems.append(message.text)

        async with await chromium.new_context(locale=language, viewport=WIDE, reduced_motion="reduce") as strangers:
            page = await strangers.new_page()
            page.on("console", record)
            checks = PageChecks(page, language, pictures, problems)
            for state, path in (("sign-in", "/accounts/login/"), ("embed", f"/embed/{public_id}/")):
                await page.goto(f"{portal.url}{path}")
                assert (await page.title()).endswith(" · Clínica Aurora")
                for picture in ("light", "dark", "narrow"):
                    await checks.check(f"brand-{state}", picture=picture)
        async with await chromium.new_context(
            locale=language, viewport=WIDE, reduced_motion="reduce", storage_state=cookies
        ) as members:
            page = await members.new_page()
            page.on("console", record)
            checks = PageChecks(page, language, pictures, problems)
            for state, path in PAGES.items():
                await page.goto(f"{portal.url}{path}")
                assert (await page.title()).endswith(" · Clínica Aurora")
                for picture in ("light", "dark", "narrow"):
                    await checks.check(f"brand-{state}", picture=picture)
            await page.goto(f"{portal.url}/")
            await page.evaluate(SET_THEME, "light")
            link = page.locator("a.skip")
            await expect(link).to_have_css("background-color", ACCENT)
        assert problems == []
