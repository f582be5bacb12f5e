"""The admin in a real browser, with its security policy, in both languages."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, ConsoleMessage, Page, StorageState

from tests.browser import board_seed
from tests.browser.audit_seed import GOOD, SEED, TROUBLED
from tests.browser.outside_seed import SEED as SEED_OUTSIDE
from tests.browser.outside_seed import seeded
from tests.browser.page_checks import WIDE, PageChecks, axe_source
from tests.people.phone import code
from tests.support import servers
from tests.support.browsing import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.proof, pytest.mark.asyncio(loop_scope="package")]

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
def portal() -> Iterator[servers.Portal]:
    with servers.emulator(media=False) as emulator, servers.portal(emulator) as portal:
        yield portal


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def cookies(portal: servers.Portal, chromium: Browser) -> StorageState:
    async with await chromium.new_context() as context:
        await sign_in(await context.new_page(), portal, "admin", "/admin/")
        return await context.storage_state()


@pytest_asyncio.fixture(params=["es", "en"], loop_scope="package")
async def page(
    request: pytest.FixtureRequest, portal: servers.Portal, cookies: StorageState, chromium: Browser
) -> AsyncIterator[Page]:
    """Open a page in one language, signed in as the administrator."""
    async with await chromium.new_context(locale=request.param, storage_state=cookies) as context:
        page = await context.new_page()
        await page.goto(f"{portal.url}/admin/")
        yield page


async def test_admin_pages_have_no_console_errors(page: Page, portal: servers.Portal) -> None:
    console_errors = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            console_errors.append(f"{page.url}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: console_errors.append(f"{page.url}: {error}"))
    for path in PAGES:
        response = await page.goto(f"{portal.url}{path}", wait_until="load")
        assert response
        assert response.ok
    assert console_errors == []


async def test_the_catalogue_is_synced_from_the_accounts_page(page: Page, portal: servers.Portal) -> None:
    await page.goto(f"{portal.url}/admin/avatars/provideraccount/1/catalogue/")
    await page.locator("main form button[type=submit], #content form button[type=submit]").first.click()
    avatars = page.locator("table a[href*='/avatars/avatar/']").first
    await avatars.wait_for()  # the page has asked the worker's progress until it was over
    assert await page.locator("tbody tr").first.locator("td").first.inner_text() == "6"


@pytest.mark.parametrize(("state", "session"), [("good", GOOD), ("troubled", TROUBLED)])
async def test_the_auditors_page_is_accessible(
    page: Page, portal: servers.Portal, state: str, session: str, tmp_path: Path
) -> None:
    """Check collapsed and expanded parts, 360 px, and the content policy."""
    portal.manage("shell", "-v0", "-c", SEED)
    console_errors: list[str] = []
    page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
    await page.set_viewport_size(WIDE)
    await page.emulate_media(reduced_motion="reduce")
    await page.goto(f"{portal.url}/admin/avatar_sessions/streamingsession/{session}/audit/")
    language = await page.evaluate("document.documentElement.lang")
    page_checks = PageChecks(page, language, tmp_path)
    await page_checks.check(f"audit-{state}")
    await page.evaluate("document.documentElement.dataset.theme = 'light'")
    await save_page_picture(page, f"audit-{state}-{language}")
    await page.locator("label:has(#all)").click()
    await page.fill("#why", "A check")
    await page.locator("form:has(#why) button").click()
    await page.wait_for_selector(".line__text")
    await page_checks.check(f"audit-{state}, open")
    assert (page_checks.problems, console_errors) == ([], [])


TESTED = """
from avatars.models import ModelService, Persona, PersonaTest, PersonaTestRun
from avatars.personas import versions
service, _ = ModelService.objects.get_or_create(name="For tests", defaults={
    "base_url": "https://models.example.com/v1", "api_key": "a", "chat_model": "a"})
persona = Persona.objects.get(pk=1)
persona.brain, persona.model_service, persona.instructions = "own", service, "You help."
version = versions.save_version(persona)
PersonaTest.objects.get_or_create(persona=persona, name="Price", defaults={"position": 1, "turns": [{"say": "Hi"}]})
PersonaTestRun.objects.filter(state="running").delete()
PersonaTestRun.objects.create(version=version, state="running", done=1, total=2)
"""
FAILED = """
from avatars.models import PersonaTestRun
turn = {"say": "Hi", "answer": "Sorry.", "problems": ["refused_401"]}
PersonaTestRun.objects.filter(state="running").update(
    state="failed", done=2, results=[{"name": "Price", "turns": [turn]}])
"""


async def test_the_list_of_runs_is_refreshed_and_what_is_typed_stays(page: Page, portal: servers.Portal) -> None:
    portal.manage("shell", "-v0", "-c", TESTED)
    await page.goto(f"{portal.url}/admin/avatars/persona/1/tests/")
    await page.fill("#tests", "half a test")
    await page.wait_for_selector("#run-list progress")
    portal.manage("shell", "-v0", "-c", FAILED)
    await page.wait_for_selector("#report-part details[open]")
    assert "HTTP 401" in await page.inner_text("#report-part")
    assert await page.locator("#run-list progress").count() == 0
    assert await page.input_value("#tests") == "half a test"


async def save_page_picture(page: Page, name: str) -> None:
    """Save a picture of the whole page with few colours, if PICTURES names a folder."""
    if pictures := os.environ.get("PICTURES"):
        shot = Image.open(io.BytesIO(await page.screenshot(full_page=True))).convert("RGB")
        shot.thumbnail((720, shot.height))
        few = shot.quantize(256, kmeans=2, dither=Image.Dither.NONE)
        few.save(Path(pictures) / f"{name}.png", optimize=True)


async def test_transcript_search_and_exports_are_accessible(page: Page, portal: servers.Portal, tmp_path: Path) -> None:
    """Check the printable record, a search and its export."""
    portal.manage("shell", "-v0", "-c", SEED)
    console_errors: list[str] = []
    page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
    await page.set_viewport_size(WIDE)
    await page.emulate_media(reduced_motion="reduce")
    language = await page.evaluate("document.documentElement.lang")
    page_checks = PageChecks(page, language, tmp_path)

    async def look(name: str) -> None:
        """The form is ours, the frame around it the theme's."""
        await page.evaluate(axe_source())
        found = await page.evaluate(
            "async () => (await axe.run('form:has(#id_reason)')).violations.map(({ id }) => id)"
        )
        page_checks.problems += [f"{name}: {violation}" for violation in found]
        await save_page_picture(page, f"{name}-{language}")

    await page.goto(f"{portal.url}/admin/avatar_sessions/streamingsession/{TROUBLED}/audit/")
    await page.click("a[href='../export/']")
    await look("audit-export")
    await page.check("input[name=format][value=html]")
    await page.fill("#id_reason", "Reclamación 2026-118")
    await page.locator("form:has(#id_reason) [type=submit]").click()
    await page.get_by_text("Something is off with my invoice.").first.wait_for()
    await page_checks.check("record")
    await page.goto(f"{portal.url}/admin/avatar_sessions/streamingsession/")
    await page.click("a[href$='/search/']")
    await look("audit-search")
    await page.fill("#id_words", "INVÓICE some")
    await page.fill("#id_reason", "Reclamación 2026-118")
    await page.locator("form:has(#id_reason) [type=submit]").click()
    await page.wait_for_url("**/?said=*")
    found = page.locator(f"a[href*='{TROUBLED}']")
    assert await found.count()
    await page.click("a[href*='/export/new/']")
    await look("audit-export-list")
    assert (page_checks.problems, console_errors) == ([], [])


async def test_invitation_and_second_factor_pages_are_accessible(
    page: Page, portal: servers.Portal, tmp_path: Path
) -> None:
    """Each page is accessible in both themes and at 360 px."""
    language, name = await page.evaluate("document.documentElement.lang"), "wj3-longer-than-most"
    await page.emulate_media(reduced_motion="reduce")
    await page.goto(f"{portal.url}/admin/heygen_portal/invitation/add/")
    await page.fill("input[name=email]", f"nora-{language}@example.org")
    await page.select_option("select[name=group]", index=1)
    await page.locator("button[name=_save]").first.click()
    link = await page.locator("code", has_text="/accounts/invitation/").inner_text()
    await page.context.clear_cookies()  # another user, on another day
    page_checks = PageChecks(page, language, Path(os.environ.get("PICTURES") or tmp_path))
    await page.set_viewport_size(WIDE)
    await page.goto(link)
    await page_checks.check("invitation", picture="light")
    for field, value in {"first_name": "Nora", "last_name": "Nora", "password1": name, "password2": name}.items():
        await page.fill(f"input[name={field}]", value)
    await page.press("input[name=password2]", "Enter")
    await page.wait_for_url(f"{portal.url}/")
    await page.goto(f"{portal.url}/accounts/second-factor/")
    await page_checks.check("second-factor")
    await page.goto(f"{portal.url}/accounts/second-factor/set-up/")
    await page_checks.check("second-factor, is it you")
    await page.fill("input[name=password]", name)
    await page.press("input[name=password]", "Enter")
    await page_checks.check("second-factor-set-up", picture="narrow")
    secret = await page.input_value("#secret")
    await page.fill("input[name=code]", code(secret))
    await page.press("input[name=code]", "Enter")
    await page.locator(".codes").wait_for()
    await page_checks.check("second-factor, codes")
    await page.goto(f"{portal.url}/accounts/second-factor/remove/")
    await page_checks.check("second-factor, remove")
    assert page_checks.problems == []


async def test_the_live_board_shows_fifty_sessions(page: Page, portal: servers.Portal, pictures: Path) -> None:
    """Check the costs and the start page, too."""
    portal.manage("shell", "-v0", "-c", board_seed.SEED)
    console_errors: list[str] = []
    page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
    await page.set_viewport_size(WIDE)
    await page.emulate_media(reduced_motion="reduce")
    await page.goto(f"{portal.url}/admin/avatar_sessions/streamingsession/live/")
    page_checks = PageChecks(page, await page.evaluate("document.documentElement.lang"), pictures)
    await page.wait_for_selector("#rows tr:nth-child(50)")
    assert await page.locator("#rows tr").count() == 50
    assert await page.locator("#line tr").count() == 3
    assert await page.locator("#rows tr:first-child.is-alert").count() == 1
    await page_checks.check("staff-live", picture="light")
    await page.fill("#q", "person-00")
    row = page.locator("#rows tr:visible")
    assert await row.count() == 1
    await row.locator("[data-stop]").click()
    await page.fill("#reason", "A check")
    await page_checks.check("staff-live, asking why")
    await page.locator("#ask [type=submit]").click()
    await page.wait_for_selector("#rows tr:nth-child(50)", state="detached")
    for name, path in DESK.items():
        await page.goto(f"{portal.url}/admin/{path}", wait_until="networkidle")
        await page_checks.check(name, picture="light")
    await page.goto(f"{portal.url}/admin/", wait_until="networkidle")
    await page.screenshot(path=pictures / f"staff-first-{page_checks.language}.jpg", type="jpeg", quality=55)
    await page.evaluate(axe_source())
    page_checks.problems += await page.evaluate(
        "async () => (await axe.run('#desk')).violations.map(({ id }) => `first: ${id}`)"
    )
    assert await page.locator("#desk .share").count() == 1
    assert (page_checks.problems, console_errors) == ([], [])


DESK = {
    "staff-costs": "avatar_sessions/sessiontotal/costs/",
    "staff-bills": "avatar_sessions/sessiontotal/reconciliation/",
}


# What the theme's own frame lacks; and its menu and its wide tables are scrollable regions of the same name.
OF_THE_THEME = ("landmark-unique: #nav-sidebar-apps",)


async def test_webhooks_and_embedding_are_accessible_and_send_again(
    page: Page, portal: servers.Portal, pictures: Path
) -> None:
    failing, gone, persona, *_rest = seeded(portal.manage("shell", "-v0", "-c", SEED_OUTSIDE))
    console_errors: list[str] = []
    page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
    await page.set_viewport_size(WIDE)
    await page.emulate_media(reduced_motion="reduce")
    page_checks = PageChecks(page, await page.evaluate("document.documentElement.lang"), pictures)
    addresses = {
        "webhooks": "heygen_portal/webhook/",
        "webhook-failing": f"heygen_portal/webhook/{failing}/change/",
        "webhook-gone": f"heygen_portal/webhook/{gone}/change/",
        "webhook-secret": f"heygen_portal/webhook/{failing}/replace-secret/",
        "webhook-log": f"heygen_portal/webhookdelivery/?webhook__id__exact={failing}",
        "embed": f"avatars/persona/{persona}/embed/",
    }
    for name, path in addresses.items():
        await page.goto(f"{portal.url}/admin/{path}", wait_until="networkidle")
        await page_checks.check(name, picture="light")
    await page.goto(f"{portal.url}/admin/{addresses['webhook-failing']}?failed=1")
    rows = page.locator(".hook-log tbody tr")
    assert await rows.count() == 3
    await rows.first.locator(".hook-button").click()
    await page.locator("#dialog button[type=submit]").click()
    await page.wait_for_url("**/webhookdelivery/*/change/")
    await page_checks.check("webhook-delivery", picture="light")
    await page.goto(f"{portal.url}/admin/{addresses['webhook-failing']}")
    await page.locator(".hook-note .hook-button").click()
    await page.locator("#dialog button[type=submit]").click()
    await page.locator(".hook-note").wait_for(state="detached")
    own = [problem for problem in page_checks.problems if not any(known in problem for known in OF_THE_THEME)]
    assert (own, console_errors) == ([], [])
