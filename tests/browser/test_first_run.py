"""The personas of a new portal, as a newcomer meets them: typed and spoken questions, answered from documents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser import microphone_sounds
from tests.browser.page_checks import PageChecks, save_picture
from tests.browser.room_page import Person, RoomPage, Stage
from tests.support import servers
from tests.support.browsing import ALLOW_SOUND, browser, password
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [
    pytest.mark.browser,
    pytest.mark.media,
    pytest.mark.proof,
    pytest.mark.asyncio(loop_scope="package"),
]
expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)

ASKED = "Can I get a refund?"


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def new_portal(livekit: servers.LiveKit, emulator: servers.Emulator, chromium: Browser) -> AsyncIterator[Stage]:
    with servers.portal(emulator, livekit, as_shipped=True) as portal:
        demo = Person("demo", password(portal, "demo"))
        page = await chromium.new_page()
        await demo.sign_in(page, portal)
        yield Stage(portal, emulator, demo, await page.context.storage_state())
        await page.close()


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def asking(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """Return a browser whose microphone loops a question."""
    recording = tmp_path_factory.mktemp("microphone") / "asked.wav"
    microphone_sounds.record(microphone_sounds.speak_text(ASKED), recording)
    async with browser(ALLOW_SOUND, *microphone_sounds.microphone(recording)) as chromium:
        yield chromium


@pytest.mark.parametrize(
    ("slug", "language", "words", "unknown"),
    [
        ("lucia", "es", "de 8 a 20 horas", "¿Quién ganó el mundial de fútbol?"),
        ("daniel", "en", "choose Forgot password", "Who won the football?"),
    ],
)
async def test_a_suggested_question_is_answered_from_documents(
    chromium: Browser, new_portal: Stage, pictures: Path, slug: str, language: str, words: str, unknown: str
) -> None:
    async with RoomPage.opened(chromium, new_portal, slug=slug, locale=language, reduced_motion="reduce") as room:
        await room.start()
        await room.wait_for_sound()  # the greeting
        before = await room.lines("avatar").count()
        await room.page.locator("#composer [data-starter]").first.click()
        answer = room.lines("avatar").filter(has_text=words)
        await expect(answer).to_be_visible()
        await expect(room.page.locator("a.cite").first).to_be_visible()
        await save_picture(room.page, f"first-run-{language}")
        await room.write(unknown)
        await expect(room.lines("avatar")).to_have_count(before + 2)
        assert await room.page.locator("a.cite").count() == 1
        checks = PageChecks(room.page, language, pictures)
        await checks.check("first-run", part="section[data-when~=live]")
        assert checks.problems == []
        assert room.console_errors == []


async def test_a_spoken_question_is_answered_from_documents(asking: Browser, new_portal: Stage) -> None:
    asked = RoomPage.opened(asking, new_portal, slug="daniel", locale="en", permissions=["microphone"])
    async with asked as room:
        await room.start()
        await room.wait_for_sound()
        await room.page.click("#interrupt")
        await room.wait_for_silence()
        await room.page.click("#mic-more")
        await room.page.check("input[name=voice-mode][value=hands_free]")
        await room.page.keyboard.press("Escape")
        await room.page.click("#mic")
        await expect(room.lines("avatar").filter(has_text="within 14 days").first).to_be_visible()
        await expect(room.page.get_by_role("link", name="Invoices and payment").first).to_be_visible()
