"""The auditor's pages in a real browser, as an auditor."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, ConsoleMessage

from tests.browser.audit_seed import GOOD, SEED, TROUBLED
from tests.browser.page_checks import WIDE, axe_source
from tests.browser.room_page import Person, Stage

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

SESSIONS = "/admin/avatar_sessions/streamingsession/"
# The part of each page that is the portal's own; the frame around the others is the theme's.
PAGES = {
    f"{SESSIONS}{GOOD}/audit/": "document",
    f"{SESSIONS}{TROUBLED}/audit/": "document",
    f"{SESSIONS}{TROUBLED}/export/": "'form:has(#id_reason)'",
    f"{SESSIONS}search/": "'form:has(#id_reason)'",
    "/admin/avatar_sessions/export/new/": "'form:has(#id_reason)'",
    "/admin/heygen_portal/auditentry/": "'#changelist-form'",
    "/admin/avatar_sessions/historycheck/": "'#changelist-form'",
}


@pytest.mark.proof
async def test_an_auditors_pages_are_accessible_and_log_no_errors(chromium: Browser, stage: Stage) -> None:
    stage.portal.manage("shell", "-v0", "-c", SEED)
    problems: list[str] = []
    async with await chromium.new_context(locale="es", viewport=WIDE, reduced_motion="reduce") as context:
        page = await context.new_page()

        def note(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                problems.append(f"{page.url}: {message.text}")

        page.on("console", note)
        page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
        await Person("auditor", "a-word-for-tests").sign_in(page, stage.portal)
        for path, part in PAGES.items():
            answer = await page.goto(f"{stage.portal.url}{path}")
            assert answer
            assert answer.ok, path
            await page.evaluate(axe_source())
            found = await page.evaluate(f"async () => (await axe.run({part})).violations.map(({{ id }}) => id)")
            problems += [f"{path}: {violation}" for violation in found]
        await page.goto(f"{stage.portal.url}{SESSIONS}{TROUBLED}/export/")
        await page.check("input[name=format][value=html]")
        await page.fill("#id_reason", "Reclamación 2026-118")
        async with page.expect_navigation():
            await page.press("#id_reason", "Enter")
        await page.get_by_text("Reclamación 2026-118").first.wait_for()  # the record to print
        await page.evaluate(axe_source())
        found = await page.evaluate("async () => (await axe.run(document)).violations.map(({ id }) => id)")
        problems += [f"printed record: {violation}" for violation in found]
    assert problems == []
