"""A conversation in a real browser: video, sound, text, interruption and end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.browser.room_page import FRAMES, Person, RoomPage, Stage, until
from tests.support.browsing import browser

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

OPERATOR = """
from django.contrib.auth.models import Group, User
operator = User.objects.create_user("operator", password="a-word-for-tests", is_staff=True)
operator.groups.add(Group.objects.get(name="Operators"))
"""
TEXT = "Hola ¿cómo estás?"
LONG = "Uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete."

# The page itself presses Start: nobody has touched it.
START_WITHOUT_GESTURE = 'addEventListener("load", () => document.querySelector("#start").click())'
# The page itself presses Cancel while it joins the room: on a busy machine a click from outside may come too late.
CANCEL_WHILE_JOINING = """() => {
  const timer = setInterval(() => {
    if (document.querySelector("#steps > li:nth-child(n + 2).is-now")) {
      clearInterval(timer);
      document.querySelector("#cancel").click();
    }
  }, 10);
}"""


async def compose_and_confirm(room: RoomPage) -> None:
    """Write a word with an input method and confirm it with Enter.

    Send the keys as Chromium and as Safari report them.
    """
    text, devtools = room.page.locator("#text"), await room.page.context.new_cdp_session(room.page)
    await text.click()
    await devtools.send("Input.imeSetComposition", {"text": "てんき", "selectionStart": 3, "selectionEnd": 3})
    await room.page.keyboard.press("Enter")
    await devtools.send("Input.insertText", {"text": "天気"})
    # Safari ends the composition first. The key that follows has the code of keys that an input method handles.
    handled = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    await devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **handled})
    assert "天気" in await text.input_value()
    assert await room.lines("user").count() == 0


async def test_a_conversation_has_video_and_speech_and_texts_are_read_aloud_verbatim(room: RoomPage) -> None:
    """Requirements 1, 3, 22, 33, 34, 35 and 68.

    On this machine HTTP works without a warning.
    """
    assert await room.page.evaluate("isSecureContext")
    await expect(room.page.locator("#insecure")).to_be_hidden()
    await room.start()
    await room.wait_for_sound()
    first = await room.frames()
    await room.wait_for(f"({FRAMES})() > {first + 25}")
    await room.wait_for("video.videoWidth === 640 && video.videoHeight === 360")  # a busy encoder begins with less
    await expect(room.lines("avatar").first).to_contain_text("¿En qué puedo ayudarte?")
    await compose_and_confirm(room)  # sends nothing
    await room.write(TEXT, "repeat")
    await room.wait_for_line(TEXT)
    await room.write(LONG, "repeat")
    await expect(room.page.locator(".chip[role=status]:visible")).to_contain_text("Habla Lucía")
    assert await room.lines("user").all_text_contents() == [TEXT, LONG]
    sent = room.last_session()["tasks"]
    assert [task.encode() for task in sent] == [TEXT.encode(), LONG.encode()]
    await room.wait_for_events("room_connected", "first_frame", "avatar_start_talking")
    everything = await room.page.content() + "".join(room.socket_messages)
    assert "session.room" in everything
    assert room.stage.emulator.api_key not in everything
    assert room.console_errors == []


@pytest.mark.proof
async def test_the_page_reports_when_the_greeting_and_an_answer_were_heard(room: RoomPage) -> None:
    await room.start()
    await room.wait_for_sound()
    await room.wait_for_events("first_sound", "avatar_stop_talking")
    await room.page.wait_for_timeout(1_000)  # right after a line, an answer cannot be told from its end
    await room.write("¿Cuál es el horario?")
    await expect(room.lines("avatar")).to_have_count(2)

    async def are_both_stored() -> bool:
        return bool(room.last_session()["events"].count("first_sound") == 2)

    await until(are_both_stored)


@pytest.mark.proof
async def test_a_question_is_answered_from_the_knowledge_base(room: RoomPage) -> None:
    await room.start()
    await room.write("¿Cuál es el horario?")
    await expect(room.lines("avatar")).to_have_count(2)
    assert await room.lines("avatar").last.text_content() != "¿Cuál es el horario?"


# A phone whose screen the page may keep on.
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
COUNT_WAKE_LOCKS = """
let held = 0;
const request = async () => {
  held += 1;
  return { released: false, async release() { if (!this.released) held -= 1; this.released = true; } };
};
Object.defineProperty(navigator, "wakeLock", { value: { request } });
window.wakeLocksHeld = () => held;
"""
DIRECTION = "element => getComputedStyle(element).direction"


@pytest.mark.proof
async def test_a_phone_keeps_its_screen_on_and_sends_several_lines_in_any_script(
    chromium: Browser, stage: Stage
) -> None:
    async with RoomPage.opened(chromium, stage, init=COUNT_WAKE_LOCKS, **PHONE) as room:
        text = room.page.locator("#text")
        await room.start()
        await room.wait_for("wakeLocksHeld() === 1")
        # A whole sentence of the greeting, for screen readers.
        await expect(room.page.locator("#announcer p").first).to_have_text(re.compile(r"Lucía.*[.!?]$"))
        await text.click()
        one_line = await text.evaluate("element => element.clientHeight")
        for line in ("مرحبا!", "كيف حالك؟", "أنا بخير."):
            await room.page.keyboard.insert_text(line)
            await room.page.keyboard.press("Enter")
        assert await text.input_value() == "مرحبا!\nكيف حالك؟\nأنا بخير.\n"
        assert await text.evaluate("element => element.clientHeight") > 2 * one_line
        assert await text.evaluate(DIRECTION) == "rtl"
        await room.page.click("#send")
        sent = room.lines("user").first
        await expect(sent).to_contain_text("مرحبا!")
        assert await sent.evaluate(DIRECTION) == "rtl"
        assert await text.evaluate("element => element.clientHeight") == one_line
        await room.page.click("#end")
        await room.state("ended")
        await room.wait_for("wakeLocksHeld() === 0")


@pytest.mark.proof
async def test_lines_written_while_connecting_are_sent_once_and_in_order(room: RoomPage) -> None:
    lines = ["Uno.", "Dos.", "Tres."]
    await room.page.click("#start")
    for line in lines:
        await room.write(line, "repeat")
    await room.state("live")
    await expect(room.page.locator(".line--wait")).to_have_count(0)
    await room.wait_for_line("Tres.")
    assert await room.lines("user").all_text_contents() == lines
    assert room.last_session()["tasks"] == lines


@pytest.mark.proof
async def test_interrupting_silences_the_avatar_and_marks_the_line(room: RoomPage) -> None:
    """Complaint 12; later speech is audible again."""
    await room.start()
    await room.write(LONG, "repeat")
    await expect(room.lines("avatar").last).to_contain_text("cuatro")
    await expect(room.page.locator("#caption .said")).to_contain_text("cuatro")
    await room.page.click("#interrupt")
    await room.wait_for_silence()
    await expect(room.page.locator(".line__cut:visible")).to_have_count(1)
    assert "diecisiete" not in (await room.lines("avatar").last.text_content() or "")
    await room.write(LONG, "repeat")
    await room.wait_for_sound()


async def test_ending_releases_the_provider_and_a_closed_tab_ends_the_next_session(room: RoomPage) -> None:
    """Requirements 8 and 36.

    The end is shown, and another start creates another session.
    """
    await room.start()
    await room.page.click("#end")
    await room.state("ended")
    await expect(room.page.locator("#over")).to_have_text("Terminaste la conversación")
    await expect(room.page.locator("#over")).to_be_focused()
    await expect(room.page.locator("#closed")).to_be_visible()
    await room.wait_until_all_ended()
    assert await room.page.evaluate("Object.keys(sessionStorage)") == []
    await room.page.click("#again")
    await room.state("live")
    await room.page.close()
    await room.wait_until_all_ended()
    record = room.last_session()
    assert (record["status"], record["reason"]) == ("ended", "tab_closed")


@pytest.mark.proof
async def test_cancelling_while_connecting_leaves_nothing_open(room: RoomPage) -> None:
    """Complaint 21."""
    await room.page.evaluate(CANCEL_WHILE_JOINING)
    await room.page.click("#start")
    await room.state("ready")
    await room.wait_until_all_ended()
    assert room.last_session()["reason"] == "user_stopped"


@pytest.mark.proof
async def test_the_page_explains_that_staff_ended_the_session(room: RoomPage, chromium: Browser) -> None:
    portal = room.stage.portal
    await room.start()
    portal.manage("shell", "-v0", "-c", OPERATOR)
    context = await chromium.new_context(locale="es")
    page = await context.new_page()
    await Person("operator", "a-word-for-tests").sign_in(page, portal)
    await page.goto(f"{portal.url}/admin/avatar_sessions/streamingsession/")
    await page.locator("input.action-select").first.check()
    await page.locator("select[name=action]").select_option("stop")
    await page.get_by_label("Motivo", exact=True).fill("Habla con otra persona")
    await page.locator("button[name=index]").click()
    await room.state("ended")
    await expect(room.page.locator("#over")).to_have_text("El equipo la terminó")
    await context.close()
    assert room.last_session()["reason"] == "staff_stopped"


@pytest.mark.proof
async def test_a_reload_returns_to_the_same_conversation(room: RoomPage) -> None:
    await room.start()
    await room.write("Hola ¿cómo estás?", "repeat")
    await room.wait_for_line("Hola ¿cómo estás?")
    before = room.last_session()
    await room.page.reload()
    await room.state("live")
    await expect(room.lines("user")).to_have_text(["Hola ¿cómo estás?"])
    await expect(room.page.locator(".line--read")).to_have_count(1)  # it is still known that it was to be read aloud
    after = room.last_session()
    assert after["tasks"] == before["tasks"]
    assert after["status"] == "live"
    assert '/leave" 204' in room.stage.portal.web.output()  # the page that went away had said so


@pytest.mark.proof
async def test_the_time_limit_is_announced_and_ends_the_session(chromium: Browser, stage: Stage) -> None:
    async with RoomPage.opened(chromium, stage, slug="brief", locale="en") as room:
        await room.start()
        await room.state("ending")
        await expect(room.page.locator("#warning")).to_contain_text("Less than a minute left")
        await expect(room.page.locator("#stay")).to_be_hidden()
        await room.state("ended")
        await expect(room.page.locator("#over")).to_have_text("Time is up")
        await room.wait_until_all_ended()


@pytest.mark.proof
async def test_staying_after_the_idle_warning_continues_the_session(chromium: Browser, stage: Stage) -> None:
    async with RoomPage.opened(chromium, stage, slug="quiet", locale="en") as room:
        await room.start()
        await room.state("ending")
        await expect(room.page.locator("#warning")).to_contain_text("Are you still there?")
        await room.page.click("#stay")
        await room.state("live")


@pytest.mark.proof
async def test_blocked_playback_asks_for_a_tap(stage: Stage) -> None:
    """Requirements 59 and 67, complaint 9."""
    async with (
        browser("--autoplay-policy=user-gesture-required") as chromium,
        RoomPage.opened(chromium, stage, init=START_WITHOUT_GESTURE) as room,
    ):
        await room.wait_for_report("playback_blocked")
        await room.state("tap")
        await room.page.click("#tap")
        await room.state("live")
        assert await room.page.evaluate("!document.querySelector('#audio').paused")
        await room.write(LONG, "repeat")  # the greeting may be over
        await room.wait_for_sound()


@pytest.mark.proof
async def test_a_refusal_of_the_provider_is_explained(room: RoomPage, tmp_path: Path) -> None:
    fault = {"kind": "answer", "on": "streaming.new", "error": "avatar_not_found"}
    await room.page.request.post(f"{room.stage.emulator.url}/_emulator/faults", data=fault)
    await room.page.click("#start")
    await room.state("failed")
    await expect(room.page.locator("#cause")).to_have_text("El servicio de avatares rechazó la solicitud")
    async with room.page.expect_download() as download:
        await room.page.click("#failure")
    await (await download.value).save_as(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    number = await room.page.text_content("#report code")
    assert (report["cause"], report["session_id"]) == ("provider_refused", number)
    await room.write("Hola", "repeat")  # kept, and sent once the avatar is present
    await room.page.click("#retry")
    await room.wait_for_line("Hola")
    assert room.last_session()["tasks"] == ["Hola"]


@pytest.mark.proof
async def test_transcript_export_and_picture_in_picture(room: RoomPage, tmp_path: Path) -> None:
    await room.start()
    await room.write("Hola ¿cómo estás?", "repeat")
    await room.wait_for_line("Hola ¿cómo estás?")
    async with room.page.expect_download() as download:
        await room.page.click(".side [data-download]")
    await (await download.value).save_as(tmp_path / "transcript.txt")
    text = (tmp_path / "transcript.txt").read_text(encoding="utf-8")
    assert "] Tú (para leer en voz alta): Hola ¿cómo estás?\n" in text
    # This provider keeps no transcript: what the avatar says is known from the browser alone.
    assert "] Lucía (Comunicada solo por el navegador): Hola ¿cómo estás?\n" in text
    await room.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await room.page.click("#copy")
    await expect(room.page.locator("#copied")).to_have_text("Copiada")
    assert await room.page.evaluate("navigator.clipboard.readText()") == text
    await room.page.click("#full-screen")
    await room.wait_for("document.fullscreenElement?.id === 'picture'")
    await room.page.click("#full-screen")
    await room.wait_for("document.fullscreenElement === null")
    await room.page.click("#pip")
    await room.wait_for("document.pictureInPictureElement?.id === 'video'")


@pytest.mark.proof
async def test_a_failed_line_can_be_retried_repeatedly(room: RoomPage) -> None:
    await room.start()
    await expect(room.lines("avatar").first).to_contain_text("ayudarte?")  # the greeting is not what fails
    fault = {"kind": "answer", "on": "streaming.task", "error": "bad_request", "times": 2}
    answer = await room.page.request.post(f"{room.stage.emulator.url}/_emulator/faults", data=fault)
    assert answer.ok
    await room.write("Hola", "repeat")
    for _ in range(2):
        await expect(room.page.locator("[data-mark=why]:visible")).to_have_count(1)
        await room.page.click(".line__meta button:visible")
    await room.wait_for_line("Hola")
    assert await room.lines("user").all_text_contents() == ["Hola"]


@pytest.mark.proof
async def test_the_readme_picture(room: RoomPage, pictures: Path) -> None:
    await room.start()
    await expect(room.lines("avatar").first).to_contain_text("ayudarte?")
    await room.write("¿Cuál es el horario?")
    await expect(room.lines("avatar").nth(1)).to_have_text(re.compile(".{40,}"))
    await room.page.mouse.move(1, 1)
    picture = await room.page.screenshot(path=pictures / "room.png")
    assert len(picture) > 50_000
