"""The portal in Firefox.

Here it plays no H.264 and gathers no loopback candidates.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, expect

from local import ports
from tests.browser.embedded_site import Site, site
from tests.browser.injected_faults import inject_fault
from tests.browser.room_page import Person, RoomPage, Stage, until
from tests.support import servers
from tests.support.browsing import password
from tests.support.firefox import firefox, missing_packages
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [
    pytest.mark.browser,
    pytest.mark.media,
    pytest.mark.proof,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.skipif(
        bool(missing_packages()), reason=f"not on this machine (on Debian: apt-get install {missing_packages()})"
    ),
    pytest.mark.skipif(
        not ports.own_address(), reason="this machine is in no network, so Firefox finds no LiveKit here"
    ),
]
expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)

STAFF = """
from django.contrib.auth.models import Group, User
pathfinder = User.objects.create_user("pathfinder", password="a-word-for-tests", is_staff=True)
pathfinder.groups.add(Group.objects.get(name="End users"))
"""
WIDTHS: dict[str, ViewportSize] = {
    "desk": {"width": 1280, "height": 800},
    "phone": {"width": 390, "height": 780},
}
LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen."
# Firefox reports these only in its own console.
FORBIDDEN = """addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) =>
  console.error(`${effectiveDirective} forbids ${blockedURI}`))"""
# Five seconds of pictures: after three without one, the page would have given the picture up.
MOVES = """new Promise((resolve) => {
  let frames = 0;
  const video = document.querySelector("#video");
  const count = () => ((frames += 1) > 125 ? resolve() : video.requestVideoFrameCallback(count));
  video.requestVideoFrameCallback(count);
})"""
LEVEL = "Number(document.querySelector('#mic .level').dataset.level)"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def firefox_browser(downloads: Path) -> AsyncIterator[Browser]:
    async with firefox(downloads) as firefox_browser:
        yield firefox_browser


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def stage(firefox_browser: Browser) -> AsyncIterator[Stage]:
    """Return a stage whose LiveKit server has the address that `bin/serve` gives it."""
    with (
        servers.livekit(own_address=ports.own_address()) as livekit,
        servers.emulator(livekit, args=["--control"]) as emulator,
        servers.portal(emulator, livekit) as portal,
    ):
        portal.manage("shell", "-v0", "-c", STAFF)
        demo = Person("demo", password(portal, "demo"))
        page = await firefox_browser.new_page()
        await demo.sign_in(page, portal)
        yield Stage(portal, emulator, demo, await page.context.storage_state())


async def clipboard_text(page: Page) -> str:
    """Return the clipboard's text by pasting it into the form."""
    await page.fill("#text", "")
    await page.press("#text", "ControlOrMeta+v")
    text = await page.input_value("#text")
    await page.fill("#text", "")
    return text


async def wait_for_download(downloads: Path, name: str) -> str:
    """Wait for a downloaded file and return its text.

    Playwright misses downloads without a URL.
    """

    async def is_there() -> bool:
        return bool(contents(downloads, name))

    await until(is_there)
    return contents(downloads, name)


def contents(downloads: Path, name: str) -> str:
    return "".join(file.read_text(encoding="utf-8") for file in downloads.glob(name))


async def test_a_conversation_from_the_gallery_to_its_end(firefox_browser: Browser, stage: Stage) -> None:
    """Requirements 54, 59 and 66; complaints 7, 12 and 23."""
    async with RoomPage.opened(firefox_browser, stage, slug="daniel", locale="en", init=FORBIDDEN) as room:
        page, asked = room.page, set[str]()
        page.on("request", lambda request: asked.add(urlsplit(request.url).hostname or ""))
        await page.goto(stage.portal.url)
        await page.click(".person a[href$='/daniel/']")
        await room.state("ready")
        await room.start()
        await page.evaluate(MOVES)
        await expect(room.lines("avatar")).to_have_count(1)
        await room.write("When do you open?")
        await room.wait_for_sound()
        await expect(room.lines("user")).to_have_text(["When do you open?"])
        await expect(room.lines("avatar")).to_have_count(2)

        await inject_fault(room, "frozen", session=room.last_session()["provider_id"])
        await room.state("recovering")
        await room.write("I am still here.", "repeat")
        await room.state("live")
        await room.wait_for_line("I am still here.")
        assert await room.lines("user").all_text_contents() == ["When do you open?", "I am still here."]

        await page.click("#mic")
        await expect(page.locator("#hold")).to_be_visible()
        await expect(page.locator("#hold")).to_be_focused()
        await page.keyboard.down("Space")
        await expect(page.locator("#hold")).to_have_attribute("aria-pressed", "true")
        await room.wait_for(f"{LEVEL} > 0")
        await room.wait_for_events("microphone", "user_start")
        await page.keyboard.up("Space")
        await expect(page.locator("#hold")).to_have_attribute("aria-pressed", "false")
        await page.click("#mic")

        await room.write(LONG, "repeat")
        await expect(room.lines("avatar").last).to_contain_text("four")
        await page.click("#interrupt")
        await room.wait_for_silence()
        await expect(page.locator(".line:not(.line--you)").last.locator(".line__cut")).to_be_visible()
        assert "seventeen" not in (await room.lines("avatar").last.text_content() or "")
        await page.click("#end")
        await room.state("ended")
        await expect(page.locator("#over")).to_have_text("You ended the conversation")
        await expect(page.locator("#over")).to_be_focused()
        assert room.console_errors == []
        assert asked == {"127.0.0.1"}
    assert room.last_session()["reason"] == "user_stopped"


async def test_the_noise_gate_opens_for_speech(firefox_browser: Browser, stage: Stage) -> None:
    """Complaint 11: the noise gate also works with this browser's audio processing."""
    async with RoomPage.opened(firefox_browser, stage, slug="daniel", locale="en", init=FORBIDDEN) as room:
        await room.start()
        await room.page.click("#mic-more")
        await room.page.check("input[name=voice-mode][value=hands_free]")
        await room.page.keyboard.press("Escape")
        await room.page.click("#mic")
        await room.wait_for(f"{LEVEL} > 0 && !document.querySelector('#mic .is-kept')")
        await room.wait_for_events("microphone", "user_start")
        await expect(room.page.locator("#gate-failed")).to_be_hidden()
        assert room.console_errors == []


async def test_the_device_check_reports_its_results(firefox_browser: Browser, stage: Stage, downloads: Path) -> None:
    """Requirements 58, 59 and 70.

    This browser's differences are reported, and none is a failure.
    """
    async with RoomPage.opened(firefox_browser, stage, slug="daniel", locale="en", init=FORBIDDEN) as room:
        page = room.page
        await page.goto(f"{stage.portal.url}/check/")
        await page.click("#begin")
        await page.click("#yes")
        await page.wait_for_selector("body[data-checked=warnings]")
        row = {check: page.locator(f"[data-check={check}]") for check in ("browser", "microphone", "udp", "tcp")}
        await expect(row["browser"]).to_contain_text("Avatars are sent as VP8 instead")
        await expect(row["microphone"]).to_contain_text("Your voice comes through")
        await expect(row["udp"]).to_contain_text("Round trip:")
        await expect(row["tcp"]).to_contain_text("This is not a problem as long as another route works")
        await page.click("#download")
        report = json.loads(await wait_for_download(downloads, "check.json"))
        assert (report["browser"], report["microphone"], report["udp"]) == ("warn no_h264", "ok fine", "ok fine")
        # Firefox itself says so of the way by TCP, which LiveKit here does not have.
        assert [words for words in room.console_errors if not words.startswith("ICE failed")] == []


async def test_debug_panel_and_downloads_work(firefox_browser: Browser, stage: Stage, downloads: Path) -> None:
    """Requirement 69: the panel works with the statistics that this browser provides."""
    async with RoomPage.opened(
        firefox_browser, stage, slug="daniel", locale="en", init=FORBIDDEN, storage_state=None
    ) as room:
        page = room.page
        await Person("pathfinder", "a-word-for-tests").sign_in(page, stage.portal)
        await page.goto(f"{stage.portal.url}/personas/daniel/?debug")
        await room.start()
        await room.write(LONG, "repeat")
        await expect(page.locator("#caption .said")).to_contain_text("four")
        await page.click("#captions-switch")
        await expect(page.locator("#caption")).to_be_hidden()
        await room.wait_for_line(LONG)

        await page.click("#full-screen")
        await room.wait_for("document.fullscreenElement?.id === 'picture'")
        await page.click("#full-screen")
        await room.wait_for("document.fullscreenElement === null")
        if await page.evaluate("document.pictureInPictureEnabled === true"):  # newer ones have it
            await page.click("#pip")
            await room.wait_for("document.pictureInPictureElement?.id === 'video'")
            await page.click("#pip")
            await room.wait_for("document.pictureInPictureElement === null")
        else:
            await expect(page.locator("#pip")).to_be_hidden()

        await page.click("#copy")
        await expect(page.locator("#copied")).to_have_text("Copied")
        copied = await clipboard_text(page)
        assert f"] You (to be read aloud): {LONG}\n" in copied
        assert f"] Daniel (Reported by the browser only): {LONG}\n" in copied
        await page.click(".side [data-download]")
        assert await wait_for_download(downloads, "daniel-*.txt") == copied

        facts = await page.locator("#debug-facts div").all_inner_texts()
        facts_by_name = dict(fact.split("\n", 1) for fact in facts)
        assert facts_by_name["room"] == "connected"
        assert (facts_by_name["video codec"], facts_by_name["protocol"]) == ("video/VP8", "udp")
        assert all(int(facts_by_name[count]) > 0 for count in ("frames", "frames per second", "received bytes"))
        for name in ("TrackSubscribed", "first_frame", "session.room"):
            await expect(page.locator("#debug-events")).to_contain_text(name)
        await page.click("#debug-copy")
        await expect(page.locator("#debug-copied")).not_to_be_empty()
        assert '"browser": "Mozilla/5.0' in await clipboard_text(page)
        await page.click("#end")
        await room.state("ended")
        assert room.console_errors == []


async def test_a_foreign_site_shows_nothing_and_is_told_what_to_change(firefox_browser: Browser, stage: Stage) -> None:
    async with site(firefox_browser, stage, attributes='form="inline"') as it:
        await it.told("ready")
        stage.portal.manage(
            "shell", "-v0", "-c", "from sessions.models import *; PersonaEmbed.objects.update(origins=['https://a.test'])"
        )  # fmt: skip
        await it.page.reload()
        await it.page.wait_for_function("document.querySelector('avatar-chat').shadowRoot.querySelector('iframe')")
        await it.page.goto(f"{it.url}/?again#avatar-chat-check")
        checks = it.frame.locator("#checks")
        await expect(checks.locator("[data-check=site]")).to_have_attribute("data-result", "unlisted")
        await expect(checks.locator("[data-check=site]")).to_contain_text(it.url)
        await expect(checks.locator("[data-check=network]")).to_have_attribute("data-result", "skipped")
        assert await it.page.evaluate("told") == []


async def test_the_check_is_true_here(firefox_browser: Browser, stage: Stage) -> None:
    """This browser does not tell pages about the microphone policy, and the check says so."""
    async with site(firefox_browser, stage, path="/#avatar-chat-check", language="de") as it:
        checks = it.frame.locator("#checks")
        await expect(checks.locator("[data-check=network]")).to_have_attribute("data-result", "fine")
        for name, result in {"frame": "fine", "site": "fine", "microphone": "unknown", "cookies": "fine"}.items():
            await expect(checks.locator(f"[data-check={name}]")).to_have_attribute("data-result", result)


async def start_as_guest(it: Site) -> None:
    """Playwright's clicks and keys do not reach a frame of another site in this browser, so events are dispatched."""
    await it.launcher.focus()
    await it.page.keyboard.press("Enter")
    await it.told("ready")
    await it.frame.locator("#start").dispatch_event("click")
    await it.told("live")


@pytest.mark.parametrize(("language", "width"), [("es", "desk"), ("en", "phone")])
async def test_a_guest_writes_and_speaks_on_another_site(
    firefox_browser: Browser, stage: Stage, language: str, width: str
) -> None:
    async with site(firefox_browser, stage, language=language, viewport=WIDTHS[width]) as it:
        await start_as_guest(it)
        assert await it.check_with_axe() == []
        await it.call("say", "What is two plus two?")
        assert all(await it.answers())
        await it.frame.locator("#mic").dispatch_event("click")
        await expect(it.frame.locator("#mic")).to_have_attribute("aria-pressed", "true")
        # As a screen reader presses it: no pointer of the browser's can be captured by an event of a script.
        await it.frame.locator("#hold").dispatch_event("click")
        await expect(it.frame.locator("#hold")).to_have_attribute("aria-pressed", "true")
        await expect(it.frame.locator("#mic .level")).to_have_attribute("data-level", re.compile("[1-9]"))
        await it.frame.locator("#hold").dispatch_event("click")
        await it.frame.locator("#end").dispatch_event("click")
        assert (await it.told("ended"))[0]["reason"] in ("", "user_stopped")
        await it.frame.locator("#erase").dispatch_event("click")
        await expect(it.frame.locator("#erased")).not_to_be_empty()
        await it.frame.locator("#erase").dispatch_event("keydown", {"key": "Escape", "bubbles": True})
        await expect(it.launcher).to_be_focused()


async def test_a_guest_talks_where_third_party_cookies_are_blocked(stage: Stage, downloads: Path) -> None:
    """Neither cookies nor storage: each visit then counts as another device."""
    async with firefox(downloads, {"network.cookie.cookieBehavior": 1}) as blocking:
        async with site(blocking, stage, path="/#avatar-chat-check") as it:
            cookies = it.frame.locator("#checks [data-check=cookies]")
            await expect(cookies).to_have_attribute("data-result", "blocked")
        async with site(blocking, stage) as it:
            await start_as_guest(it)
            await it.call("say", "What is two plus two?")
            assert all(await it.answers())
            assert await it.page.context.cookies() == []
