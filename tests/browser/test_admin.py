"""The admin in a real browser: its theme works under the policy for scripts, in both languages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import ConsoleMessage, Page

from tests import servers
from tests.browsing import browser, sign_in

pytestmark = pytest.mark.browser

PAGES = (
    "/admin/",
    "/admin/avatars/persona/",
    "/admin/avatars/persona/1/change/",
    "/admin/avatars/avatar/",
    "/admin/avatars/provideraccount/1/change/",
    "/admin/avatar_sessions/streamingsession/",
    "/admin/auth/user/1/change/",
)


@pytest.fixture(scope="module")
def portal(redis_url: str) -> Iterator[servers.Portal]:
    with servers.emulator(media=False) as emulator, servers.portal(redis_url, emulator) as portal:
        yield portal


@pytest.fixture(params=["es", "en"])
async def page(request: pytest.FixtureRequest, portal: servers.Portal) -> AsyncIterator[Page]:
    """A page in one language, signed in as the administrator."""
    async with browser() as chromium:
        context = await chromium.new_context(locale=request.param)
        page = await context.new_page()
        await sign_in(page, portal, "admin", "/admin/")
        yield page


async def test_no_page_of_the_admin_complains(page: Page, portal: servers.Portal) -> None:
    complaints = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{page.url}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    for path in PAGES:
        response = await page.goto(f"{portal.url}{path}", wait_until="networkidle")
        assert response
        assert response.ok
    assert complaints == []


async def test_the_catalogue_is_synced_from_the_accounts_page(page: Page, portal: servers.Portal) -> None:
    await page.goto(f"{portal.url}/admin/avatars/provideraccount/1/change/")
    await page.locator("[href*=sync_one], [hx-get*=sync_one]").first.click()
    await page.locator("#dialog button[type=submit]").click()
    told = page.get_by_text("Emulator: con")  # connected, conectado
    await told.wait_for()
    assert "6" in await told.inner_text()
