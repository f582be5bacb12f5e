"""A persona embedded on a site with a strict policy, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, FrameLocator, Page, expect

from tests.browser.host_page import host
from tests.browser.outside_seed import SEED, seeded
from tests.browser.page_checks import RUN_AXE, WIDE, PageChecks, axe_source
from tests.browser.room_page import Stage, until
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]
expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)

EMBED = """
from avatars.models import Persona
from sessions.models import PersonaEmbed
embed, _ = PersonaEmbed.objects.update_or_create(
    persona=Persona.objects.get(slug="daniel"),
    defaults=dict(is_enabled=True, origins=[{site!r}], is_page_trusted={is_trusted}, challenge={challenge!r}),
)
print("ID", embed.public_id)
"""


@dataclass
class Site:
    page: Page
    frame: FrameLocator
    url: str

    async def told(self, kind: str) -> list[dict[str, Any]]:
        """Return what the element has told the page, once there is something."""

        async def found() -> list[dict[str, Any]]:
            told: list[dict[str, Any]] = await self.page.evaluate(
                "kind => told.filter(({ type }) => type === kind)", kind
            )
            return told

        async def has_some() -> bool:
            return bool(await found())

        await until(has_some)
        return await found()

    async def answers(self) -> list[str]:
        """Return what the element has told the page of the avatar's lines, once there is one."""

        async def found() -> list[str]:
            return [line["text"] for line in await self.told("line") if line["who"] == "avatar"]

        async def has_some() -> bool:
            return bool(await found())

        await until(has_some)
        return await found()

    async def check_with_axe(self) -> list[str]:
        """Return axe's findings in the site's page and in the frame."""
        problems: list[str] = []
        for frame in self.page.frames:
            await frame.evaluate(axe_source())
            problems += await frame.evaluate(RUN_AXE, [[], ""])
        return problems


def embed(stage: Stage, site: str, *, is_trusted: bool = True, challenge: str = "never") -> str:
    code = EMBED.format(site=site, is_trusted=is_trusted, challenge=challenge)
    return stage.portal.manage("shell", "-v0", "-c", code).split("ID ")[1].split()[0]


@asynccontextmanager
async def site(
    browser: Browser,
    stage: Stage,
    *,
    attributes: str = "",
    language: str = "en",
    path: str = "/",
    microphone: bool = True,
    challenge: str = "never",
    **context: Any,
) -> AsyncIterator[Site]:
    """Open a site that embeds Daniel."""
    with host(stage.portal.url, language=language, microphone=microphone) as served:
        public_id = embed(stage, served.origin, challenge=challenge)
        served.element = f'<avatar-chat persona="{public_id}" {attributes}></avatar-chat>'
        made = await browser.new_context(**({"locale": language, "viewport": {"width": 1280, "height": 800}} | context))
        made.set_default_timeout(WAIT_TIMEOUT_S * 1000)
        page = await made.new_page()
        await page.goto(f"{served.origin}{path}")
        try:
            yield Site(page, page.frame_locator("avatar-chat iframe"), served.origin)
        finally:
            await made.close()


async def test_a_guest_talks_on_a_site_and_deletes_what_was_said(chromium: Browser, stage: Stage) -> None:
    async with site(chromium, stage, attributes='label="Ask Daniel"', challenge="always") as it:
        bubble = it.page.get_by_role("button", name="Ask Daniel")
        await bubble.focus()
        await it.page.keyboard.press("Enter")
        await expect(it.page.get_by_role("dialog", name="Ask Daniel")).to_be_visible()
        await it.told("ready")
        assert await it.check_with_axe() == []
        await it.frame.locator("#start").click()
        await it.told("live")
        await it.page.evaluate("document.querySelector('avatar-chat').say('What is two plus two?')")
        await expect(it.frame.locator("#lines .line--you")).to_contain_text("What is two plus two?")
        await expect(it.frame.locator("#lines .line:not(.line--you)").nth(1)).to_be_visible()
        assert all(await it.answers())
        await it.page.keyboard.press("Escape")
        await it.frame.locator("#end").dispatch_event("click")
        ended = await it.told("ended")
        assert ended[0]["reason"] in ("", "user_stopped")
        await expect(it.frame.locator("body")).to_have_attribute("data-state", "ended")
        told = [(line["who"], line["text"]) for line in await it.told("line")]
        assert len(told) == len(set(told))  # once, although the portal confirms each line
        await it.frame.locator("#erase").click()
        await expect(it.frame.locator("#erased")).to_have_text("Deleted. Only when and how long you talked is kept.")
        assert await it.page.evaluate("told.filter(({ type }) => type === 'violation')") == []
        cookies = await it.page.context.cookies()
        assert {cookie["name"] for cookie in cookies} <= {"guest_device"}
        assert all("partitionKey" in cookie for cookie in cookies)
    said = stage.portal.manage(
        "shell", "-v0", "-c",
        "from sessions.models import *; s = StreamingSession.objects.exclude(guest=None).latest('created_at');"
        "print('SAID', s.erasure.cause, s.guest.origin)",
    )  # fmt: skip
    assert f"SAID person {it.url}\n" in said


async def test_a_foreign_site_shows_nothing_and_is_told_nothing(chromium: Browser, stage: Stage) -> None:
    async with site(chromium, stage, attributes='form="inline"') as it:
        await it.told("ready")
        stage.portal.manage(
            "shell", "-v0", "-c", "from sessions.models import *; PersonaEmbed.objects.update(origins=['https://a.test'])"
        )  # fmt: skip
        async with it.page.expect_response("**/embed/*/*") as answered:
            await it.page.reload()
        assert (await (await answered.value).header_value("content-security-policy") or "").count("'none'")
        assert (await answered.value).status == 403
        assert await it.page.evaluate("told") == []
        # The check says what to change, where the frame may not be shown.
        await it.page.goto(f"{it.url}/#avatar-chat-check")
        await it.page.reload()
        checks = it.frame.locator("#checks")
        await expect(checks.locator("[data-check=site]")).to_have_attribute("data-result", "unlisted")
        await expect(checks.locator("[data-check=site]")).to_contain_text(it.url)
        await expect(checks.locator("[data-check=cookies]")).to_have_attribute("data-result", "fine")
        await expect(checks.locator("[data-check=network]")).to_have_attribute("data-result", "skipped")


@pytest.mark.proof
async def test_the_check_finds_a_blocked_microphone_and_a_good_network(chromium: Browser, stage: Stage) -> None:
    async with site(chromium, stage, microphone=False, path="/#avatar-chat-check", language="es") as it:
        checks = it.frame.locator("#checks")
        await expect(checks.locator("[data-check=network]")).to_have_attribute("data-result", "fine")
        await expect(checks.locator("[data-check=microphone]")).to_have_attribute("data-result", "blocked")
        await expect(checks.locator("[data-check=microphone]")).to_contain_text("Permissions-Policy")
        assert await it.check_with_axe() == []


@pytest.mark.proof
async def test_a_guest_speaks_on_a_phone_in_spanish(with_microphone: Browser, stage: Stage) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
    async with site(with_microphone, stage, language="es", permissions=["microphone"], **phone) as it:
        await it.page.get_by_role("button", name="Abrir la conversación").tap()
        await it.told("ready")
        await it.frame.locator("#start").tap()
        await it.told("live")
        await it.frame.locator("#mic").tap()
        # What was understood depends on the emulator's recognition.
        await expect(it.frame.locator("#lines .line--you").first).to_contain_text("por voz")
        await it.frame.locator("#end").tap()
        await it.told("ended")


@pytest.mark.proof
async def test_a_kiosk_starts_over(chromium: Browser, stage: Stage) -> None:
    code = """
from datetime import timedelta
from django.utils import timezone
from avatars.models import Persona
from sessions.embed import admission, settings
from heygen_portal.trail.change_log import SERVER
persona = Persona.objects.get(slug="daniel")
link = settings.add_link(persona, SERVER, label="Hall", lifetime=timedelta(days=1), max_uses=5, is_kiosk=True)
print("CODE", admission.signed_code(link))
"""
    signed = stage.portal.manage("shell", "-v0", "-c", code).split("CODE ")[1].split()[0]
    made = await chromium.new_context(locale="en")
    made.set_default_timeout(WAIT_TIMEOUT_S * 1000)
    page = await made.new_page()
    await page.goto(f"{stage.portal.url}/embed/link/{signed}/")
    await page.click("#attract")
    await page.click("#start")
    await page.wait_for_selector("body[data-state=live]")
    await page.evaluate("document.querySelector('#end').click()")
    await page.wait_for_selector("body[data-state=ended]")
    await page.wait_for_selector("#attract:visible")  # after a while, on a new page
    stored = await page.evaluate("[localStorage, sessionStorage].flatMap(Object.keys)")
    assert stored == []
    assert await made.cookies() == []
    await made.close()


@pytest.mark.proof
@pytest.mark.parametrize("language", ["es", "en"])
async def test_the_pages_of_guests_are_accessible(
    chromium: Browser, stage: Stage, language: str, pictures: Path
) -> None:
    seed = stage.portal.manage("shell", "-v0", "-c", SEED)
    _failing, _gone, _persona, public_id, fair, hall, withdrawn = seeded(seed)
    made = await chromium.new_context(locale=language, viewport=WIDE)
    page = await made.new_page()
    page_checks = PageChecks(page, language, pictures)
    for name, path in {
        "guest-frame": f"embed/{public_id}/",
        "guest-check": f"embed/{public_id}/check/",
        "guest-link": f"embed/link/{fair}/",
        "guest-kiosk": f"embed/link/{hall}/",
        "guest-refused": f"embed/link/{withdrawn}/",
    }.items():
        await page.goto(f"{stage.portal.url}/{path}?lang={language}", wait_until="networkidle")
        assert await page.evaluate("document.documentElement.lang") == language
        await page_checks.check(name, picture="light")
    assert page_checks.problems == []
    await made.close()
