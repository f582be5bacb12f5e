"""A persona embedded on a site with a strict policy, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from django.utils.translation import gettext, override
from playwright.async_api import Browser, expect

from tests.browser.embedded_site import site, talk
from tests.browser.outside_seed import SEED, seeded
from tests.browser.page_checks import WIDE, PageChecks
from tests.browser.room_page import Stage
from tests.support.browsing import ALLOW_SOUND, browser
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]
expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
# What of the site has the focus, and what of the element.
FOCUSED = "[document.activeElement.localName, document.activeElement.shadowRoot?.activeElement?.localName]"
SIX = ["es", "en", "pt", "fr", "de", "it"]


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
        await expect(it.frame.locator("#announcer[aria-live=polite] p").first).not_to_be_empty()
        await it.page.keyboard.press("Escape")  # the conversation goes on
        await expect(it.page.get_by_role("dialog")).to_be_hidden()
        await it.call("open")
        await it.frame.locator("#end").dispatch_event("click")
        ended = await it.told("ended")
        assert ended[0]["reason"] in ("", "user_stopped")
        await expect(it.frame.locator("body")).to_have_attribute("data-state", "ended")
        told = [(line["who"], line["text"]) for line in await it.told("line")]
        assert len(told) == len(set(told))  # once, although the portal confirms each line
        await it.frame.locator("#erase").click()
        await expect(it.frame.locator("#erased")).to_have_text("Erased. Only when and how long you talked is kept.")
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
async def test_the_keyboard_goes_into_the_conversation_and_back(chromium: Browser, stage: Stage) -> None:
    async with site(chromium, stage, attributes='label="Ask Daniel"') as it:
        dialog = it.page.get_by_role("dialog", name="Ask Daniel")
        await expect(it.launcher).to_have_attribute("aria-expanded", "false")
        assert await it.launcher.evaluate("it => getComputedStyle(it).backgroundColor") == "rgb(120, 20, 60)"
        await it.launcher.focus()
        await it.page.keyboard.press("Enter")
        await expect(dialog).to_be_visible()
        await expect(it.launcher).to_have_attribute("aria-expanded", "true")
        assert await it.page.evaluate(FOCUSED) == ["avatar-chat", "iframe"]
        await it.told("ready")
        await it.frame.locator("#start").focus()
        await it.page.keyboard.press("Escape")  # heard by the portal's page only
        await expect(dialog).to_be_hidden()
        await expect(it.launcher).to_have_attribute("aria-expanded", "false")
        await expect(it.launcher).to_be_focused()
        for _ in range(2):
            await it.call("open")
            await expect(dialog).to_be_visible()
            await it.page.get_by_role("button", name="Minimise").click()
            await expect(dialog).to_be_hidden()
            await expect(it.launcher).to_be_focused()
        assert len(it.page.frames) == 2  # it was loaded once
        assert await it.page.evaluate("told.map(({ type }) => type)") == ["ready"]


@pytest.mark.proof
async def test_an_inline_conversation_stays_open_and_leaves_the_focus(chromium: Browser, stage: Stage) -> None:
    async with site(chromium, stage, attributes='form="inline"') as it:
        await it.told("ready")
        region = it.page.get_by_role("region", name="Ask")
        await it.frame.locator("#start").focus()
        await it.page.keyboard.press("Escape")
        await it.call("close")
        await expect(region).to_be_visible()
        await expect(it.launcher).to_be_hidden()
        assert await it.check_with_axe() == []


@pytest.mark.proof
@pytest.mark.parametrize("language", SIX)
async def test_the_widget_speaks_the_sites_language(chromium: Browser, stage: Stage, language: str) -> None:
    with override(language):
        words = {text: gettext(text) for text in ("Open the conversation", "Minimise", "Start")}
    # The browser's language is another one.
    async with site(chromium, stage, language=language, locale="sv") as it:
        await expect(it.launcher).to_have_attribute(
            "aria-label", f"{await it.launcher.inner_text()}: {words['Open the conversation']}"
        )
        await it.launcher.click()
        await it.told("ready")
        await expect(it.frame.locator("html")).to_have_attribute("lang", language)
        await expect(it.frame.locator("#start")).to_contain_text(words["Start"])
        await expect(it.page.get_by_role("button", name=words["Minimise"])).to_be_visible()
        assert await it.check_with_axe() == []
        await it.page.set_viewport_size({"width": 390, "height": 780})
        overflowing = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await it.frame.locator("html").evaluate(f"() => {overflowing}")


@pytest.mark.proof
@pytest.mark.parametrize("language", ["fr", "de"])
@pytest.mark.parametrize("context", [{}, PHONE], ids=["desk", "phone"])
async def test_a_whole_conversation_in_another_language(
    chromium: Browser, stage: Stage, language: str, context: dict[str, Any]
) -> None:
    with override(language):
        erased = gettext("Erased. Only when and how long you talked is kept.")
        over = gettext("You ended the conversation")
    async with site(chromium, stage, language=language, **context) as it:
        await talk(it)
        await expect(it.frame.locator("#over")).to_have_text(over)
        await expect(it.frame.locator("#erased")).to_have_text(erased)
        assert await it.check_with_axe() == []
        assert await it.page.evaluate("told.filter(({ type }) => type === 'violation')") == []


@pytest.mark.proof
async def test_a_guest_speaks_at_a_desk_in_english(with_microphone: Browser, stage: Stage) -> None:
    async with site(with_microphone, stage, permissions=["microphone"]) as it:
        await it.launcher.click()
        await it.told("ready")
        await it.frame.locator("#start").click()
        await it.told("live")
        await it.frame.locator("#mic").click()
        await expect(it.frame.locator("#lines .line--you").first).to_contain_text("by voice")
        await it.frame.locator("#end").dispatch_event("click")
        await it.told("ended")


@pytest_asyncio.fixture(loop_scope="package")
async def without_foreign_cookies() -> AsyncIterator[Browser]:
    async with browser(ALLOW_SOUND, "--test-third-party-cookie-phaseout") as blocking:
        yield blocking


@pytest.mark.proof
async def test_a_guest_talks_where_the_browser_blocks_third_party_cookies(
    without_foreign_cookies: Browser, stage: Stage
) -> None:
    async with site(without_foreign_cookies, stage, language="es") as it:
        await talk(it, says="¿Cuánto es dos más dos?")
        await expect(it.frame.locator("#erased")).to_contain_text("Borrad")


@pytest.mark.proof
async def test_the_check_says_when_the_site_blocks_the_frame(chromium: Browser, stage: Stage) -> None:
    async with site(chromium, stage, frames=False, language="fr", path="/#avatar-chat-check") as it:
        problem = it.page.locator("avatar-chat").get_by_role("alert")
        await expect(problem).to_contain_text(f"« frame-src {stage.portal.url} »")


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
