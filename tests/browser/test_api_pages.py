"""The reference of the REST API in a real browser, in two languages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.page_checks import WIDE, PageChecks
from tests.support import servers

pytestmark = [pytest.mark.browser, pytest.mark.proof, pytest.mark.asyncio(loop_scope="package")]


@pytest.fixture(scope="module")
def portal() -> Iterator[servers.Portal]:
    with servers.portal() as portal:
        yield portal


@pytest.mark.parametrize("language", ["es", "en"])
async def test_the_reference_is_accessible(
    language: str, chromium: Browser, portal: servers.Portal, tmp_path: Path
) -> None:
    async with await chromium.new_context(locale=language, viewport=WIDE, reduced_motion="reduce") as context:
        page = await context.new_page()
        await page.goto(f"{portal.url}/api/v1/docs")
        checks = PageChecks(page, language, tmp_path)
        await checks.check("reference", picture="light")
        for operation in ("create_session", "list_sessions", "create_webhook"):
            await page.locator(f"#{operation} > summary").click()
        await checks.check("reference, open", picture="dark")
        assert checks.problems == []
