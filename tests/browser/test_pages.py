"""Pages around the room: language, theme, filter, unreachable portal."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.browser.room_page import RoomPage, Stage

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]


@pytest.mark.proof
async def test_the_theme_is_remembered(chromium: Browser, stage: Stage) -> None:
    async with RoomPage.opened(chromium, stage, color_scheme="light") as room:
        switch = room.page.locator(".roombar > [data-theme-switch]")
        await expect(switch).to_have_attribute("aria-label", "Tema: automático")
        await switch.click()
        await switch.click()
        await expect(switch).to_have_attribute("aria-label", "Tema: oscuro")
        await room.page.reload()
        assert await room.page.get_attribute("html", "data-theme") == "dark"


@pytest.mark.proof
async def test_switching_the_language_stays_on_the_page_and_signing_out_leads_to_sign_in(
    chromium: Browser, stage: Stage
) -> None:
    async with RoomPage.opened(chromium, stage, locale="en", storage_state=None) as room:
        await stage.person.sign_in(room.page, stage.portal)
        await room.page.goto(f"{stage.portal.url}/personas/lucia/")
        await room.page.click("[popovertarget=languages].wide")
        await room.page.click("#languages button[value=es]")
        await expect(room.page.locator("#start")).to_contain_text("Empezar")
        assert room.page.url.endswith("/personas/lucia/")
        assert await room.page.get_attribute("html", "lang") == "es"
        await room.page.click("[popovertarget=menu]")
        await room.page.click("#menu form[action*=logout] button")
        await room.page.wait_for_url("**/accounts/login/")
        await room.page.goto(f"{room.stage.portal.url}/personas/lucia/")
        assert "next=/personas/lucia/" in room.page.url
        await expect(room.page.locator("[popovertarget=menu]")).to_be_hidden()


@pytest.mark.proof
async def test_a_filter_works_with_and_without_javascript(chromium: Browser, stage: Stage) -> None:
    portal = stage.portal
    for has_script in (True, False):
        context = await chromium.new_context(locale="es", java_script_enabled=has_script)
        page = await context.new_page()
        await stage.person.sign_in(page, portal)
        await page.locator("input[name=lang][value=es]").check(force=True)
        if not has_script:
            await page.click("#filter button")
        await expect(page.locator('.person a[href="/personas/lucia/"]')).to_have_count(1)
        await expect(page.locator('.person a[href="/personas/daniel/"]')).to_have_count(0)
        await context.close()


@pytest.mark.proof
async def test_an_unreachable_portal_is_reported_until_it_returns(chromium: Browser, stage: Stage) -> None:
    is_away = True

    async def door(socket: WebSocketRoute) -> None:
        if is_away:
            await socket.close()
        else:
            socket.connect_to_server()

    async with RoomPage.opened(chromium, stage) as room:
        await room.page.route_web_socket("**/ws/personas/**", door)
        await room.page.reload()
        await expect(room.page.locator("#trouble")).to_contain_text("El portal no responde.")
        is_away = False
        await expect(room.page.locator("#trouble")).to_be_hidden()
