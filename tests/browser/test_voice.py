"""Speaking to the avatar with a recording as microphone input, in a real browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.browser.room_page import SHOW_STATE, RoomPage, Stage, until
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]
expect.set_options(timeout=WAIT_TIMEOUT_S * 1000)

# Before any script of the page: what it asks for, and whether it lets go of it.
WATCH = """(() => {
  window.tracks = [];
  const { mediaDevices } = navigator, ask = mediaDevices.getUserMedia.bind(mediaDevices);
  const clone = MediaStreamTrack.prototype.clone;
  mediaDevices.getUserMedia = async (wanted) => {
    const stream = await ask(wanted);
    tracks.push(...stream.getTracks());
    return stream;
  };
  MediaStreamTrack.prototype.clone = function () {
    tracks.push(clone.call(this));
    return tracks.at(-1);
  };
})()"""
LEVEL = "Number(document.querySelector('#mic .level').dataset.level)"


class PortalConnection:
    """The page's socket, which the test can cut and hold."""

    def __init__(self) -> None:
        self.is_up = True
        self.is_deaf = False
        self._page: WebSocketRoute | None = None

    async def open(self, page: WebSocketRoute) -> None:
        if not self.is_up:
            await page.close(code=1012)
            return
        self._page, portal = page, page.connect_to_server()
        self.is_deaf = False
        portal.on_message(lambda message: None if self.is_deaf else page.send(message))

    async def drop(self) -> None:
        """Cut the connection, and refuse new ones until it is restored."""
        self.is_up = False
        assert self._page
        await self._page.close(code=1012)


async def test_a_typed_and_a_spoken_turn_are_answered(with_microphone: Browser, stage: Stage) -> None:
    """Requirements 2, 73 and 76."""
    async with RoomPage.opened(with_microphone, stage, slug="daniel", locale="en", permissions=["microphone"]) as room:
        page = room.page
        await room.start()
        await room.write("When do you open?")
        await expect(room.lines("avatar")).to_have_count(2)
        await page.click("#mic-more")
        await page.check("input[name=voice-mode][value=hands_free]")
        await page.keyboard.press("Escape")
        await page.click("#mic")
        spoken = page.locator(".line--you", has_text=re.compile("weather"))
        await expect(spoken.first).to_contain_text("by voice")
        await expect(room.lines("avatar").nth(2)).not_to_be_empty()


@pytest.mark.proof
async def test_typed_and_spoken_turns_are_answered(with_microphone: Browser, stage: Stage) -> None:
    """Requirements 2, 8, 59, 73 and 76; complaint 8.

    The microphone is refused, then allowed; hands-free, then push to talk.
    """
    async with RoomPage.opened(with_microphone, stage, slug="daniel", locale="en") as room:
        page = room.page
        await page.add_init_script(WATCH)
        await page.reload()
        await room.start()
        await room.write("When do you open?")
        await expect(room.lines("avatar")).to_have_count(2)

        await page.click("#mic")
        await expect(page.get_by_text("Your browser blocks the microphone")).to_be_visible()
        assert await page.evaluate("tracks.length") == 0

        await page.context.grant_permissions(["microphone"])
        await page.check("input[name=voice-mode][value=hands_free]")
        await page.keyboard.press("Escape")
        await page.click("#mic")
        await room.wait_for(f"{LEVEL} > 0")
        spoken = page.locator(".line--you", has_text=re.compile("weather"))
        await expect(spoken.first).to_contain_text("by voice")
        await expect(room.lines("avatar").nth(2)).not_to_be_empty()

        await page.click("#mic-more")
        await page.check("input[name=voice-mode][value=hold]")
        await page.keyboard.press("Escape")
        before = await page.locator(".line--you").count()
        await expect(page.locator("#hold")).to_be_focused()
        await page.keyboard.down("Space")
        await expect(page.locator("#hold")).to_have_attribute("aria-pressed", "true")
        await room.wait_for(f"{LEVEL} > 0")
        await room.wait_for(f"{LEVEL} === 0")
        await page.keyboard.up("Space")
        await expect(page.locator(".line--you")).not_to_have_count(before)
        assert await page.input_value("#text") == ""

        await page.click("#end")
        await room.state("ended")
        assert await page.evaluate("tracks.map(({ readyState }) => readyState)") == ["ended", "ended"]
        assert await page.evaluate("Object.keys(sessionStorage)") == []  # where the way into the room was kept
        await room.wait_until_all_ended()
        await room.wait_until_room_empty()
        assert await room.stop_call_count() == 1
        assert room.console_errors == []
    voice_events = [event for event in room.last_session()["events"] if event in ("microphone", "user_end_message")]
    assert voice_events[:3] == ["microphone", "microphone", "user_end_message"]


# A phone call as iOS reports it: the device mutes the microphone, and after it its tracks are dead without notice.
PHONE_CALL = "tracks.forEach((track) => { track.stop(); track.dispatchEvent(new Event('mute')); })"


@pytest.mark.proof
async def test_a_microphone_that_a_phone_call_left_dead_is_opened_again(with_microphone: Browser, stage: Stage) -> None:
    options: dict[str, Any] = {"slug": "daniel", "locale": "en", "permissions": ["microphone"], "init": WATCH}
    async with RoomPage.opened(with_microphone, stage, **options) as room:
        page = room.page
        await room.start()
        await page.click("#mic-more")
        await page.check("input[name=voice-mode][value=hands_free]")
        await page.keyboard.press("Escape")
        await page.click("#mic")
        spoken = page.locator(".line--you", has_text=re.compile("weather"))
        await expect(spoken.first).to_be_visible()
        await page.evaluate(PHONE_CALL)
        interrupted = page.get_by_text("The microphone is interrupted")
        await expect(interrupted).to_be_visible()
        await room.wait_for(f"{LEVEL} === 0")
        before = await spoken.count()
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the user is back
        await room.wait_for(f"{LEVEL} > 0")
        await expect(interrupted).to_be_hidden()
        await expect(spoken.nth(before + 1)).to_be_visible()  # one may have been on its way before the call
        assert room.console_errors == []


@pytest.mark.proof
async def test_hands_free_continues_after_a_change_of_quality(with_microphone: Browser, stage: Stage) -> None:
    """Complaint 10.

    The conversation continues in another session with the microphone still on.
    """
    async with RoomPage.opened(with_microphone, stage, slug="daniel", locale="en", permissions=["microphone"]) as room:
        page = room.page
        await room.start()
        await page.click("#mic-more")
        await page.check("input[name=voice-mode][value=hands_free]")
        await page.keyboard.press("Escape")
        await page.click("#mic")
        spoken = page.locator(".line--you", has_text=re.compile("weather"))
        await expect(spoken.first).to_be_visible()
        first = room.last_session()
        await page.click("[popovertarget=quality-panel]")
        await page.click("[data-quality=medium]")
        await expect(page.locator("#releasing")).to_be_visible()
        await room.state("live")
        await expect(page.locator("#mic")).to_have_attribute("aria-pressed", "true")
        before = await spoken.count()
        await expect(spoken).not_to_have_count(before)
        await room.wait_for_events("microphone", "user_end_message")
        assert room.last_session()["provider_id"] != first["provider_id"]
        assert room.console_errors == []


@pytest.mark.proof
async def test_the_check_selects_the_microphone(with_microphone: Browser, stage: Stage) -> None:
    """Requirement 59; complaint 8.

    The room uses the microphone that was selected in the check.
    """
    async with RoomPage.opened(with_microphone, stage, locale="en", permissions=["microphone"]) as room:
        page = room.page
        await page.goto(f"{stage.portal.url}/check/")
        await page.click("#begin")
        await room.wait_for("Number(document.querySelector('#level').dataset.level) > 0")
        await page.click("#yes")
        await expect(page.locator("#device")).to_be_enabled()
        await expect(page.locator("[data-check=microphone] p:visible")).to_contain_text("Your voice comes through")
        device = await page.locator("#device option").last.get_attribute("value")
        await page.select_option("#device", device)
        await expect(page.locator("#device")).to_be_disabled()
        await expect(page.locator("#device")).to_be_enabled()
        assert await page.input_value("#device") == device
        assert await page.evaluate("localStorage.getItem('voice:device')") == device
        assert room.console_errors == []


async def test_a_missing_microphone_is_explained(chromium: Browser, stage: Stage) -> None:
    """Requirement 59, complaint 8.

    The machine has none, which the page shows even before the session exists.
    """
    async with RoomPage.opened(chromium, stage, locale="es") as room:
        await room.page.context.grant_permissions(["microphone"])
        await room.page.evaluate(SHOW_STATE, "live")
        await room.page.click("#mic")
        await expect(room.page.get_by_text("No se encuentra ningún micrófono")).to_be_visible()


@pytest.mark.proof
async def test_the_microphone_control_explains_a_text_only_persona(chromium: Browser, stage: Stage) -> None:
    """Requirement 77."""
    async with RoomPage.opened(chromium, stage, slug="unhearing", locale="en") as room:
        await room.page.evaluate(SHOW_STATE, "live")
        await expect(room.page.locator("#hold")).to_be_hidden()
        await room.page.click("#mic")
        await expect(room.page.get_by_text("turned voice input off for this persona")).to_be_visible()


@pytest.mark.proof
async def test_messages_written_offline_arrive_once_and_in_order(chromium: Browser, stage: Stage) -> None:
    """Requirement 75.

    Some were accepted without confirmation, some written offline, some after a reload.
    """
    async with RoomPage.opened(chromium, stage, slug="daniel", locale="en") as room:
        line = PortalConnection()
        await room.page.route_web_socket(re.compile("/ws/personas/"), line.open)
        await room.page.reload()
        await room.start()
        texts = [f"Number {number}." for number in range(1, 11)]
        for text in texts[:2]:
            await room.write(text, "repeat")
        line.is_deaf = True  # what the portal answers from now on is lost
        for text in texts[2:5]:
            await room.write(text, "repeat")
        await line.drop()
        for text in texts[5:8]:
            await room.write(text, "repeat")
        line.is_up = True
        await room.page.reload()  # as people do when nothing moves
        await room.state("live")
        for text in texts[8:]:
            await room.write(text, "repeat")
        await expect(room.page.locator(".line--wait")).to_have_count(0)
        assert await room.lines("user").all_text_contents() == texts

        async def all_taken() -> bool:  # the greeting goes first
            return bool(room.last_session()["tasks"] == texts)

        await until(all_taken)
