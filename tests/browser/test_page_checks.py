"""Accessibility of every page and room state, in all languages and themes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.page_checks import WIDE, PageChecks, SocketProxy
from tests.browser.room_page import SHOW_STATE, Person, RoomPage, Stage

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

STATES = "[...new Set([...document.querySelectorAll('[data-when]')].flatMap((one) => one.dataset.when.split(' ')))]"
STAFF = """
from django.contrib.auth.models import Group, User
guide = User.objects.create_user("guide", password="a-word-for-tests", is_staff=True)
guide.groups.add(Group.objects.get(name="End users"))
"""
QUESTION = {"es": "¿Cuál es el horario?", "en": "Where is my invoice?"}
SLUG = {"es": "lucia", "en": "daniel"}
# Pictures of all states, shared between the languages; `dark` and `narrow` are among them.
PICTURES = {
    ("es", "ready"): "light", ("es", "connecting"): "dark", ("en", "queue"): "light", ("es", "take-over"): "light",
    ("en", "live"): "light", ("es", "live"): "narrow", ("es", "ending"): "light", ("en", "ended"): "dark",
    ("es", "failed"): "light", ("en", "taken-over"): "dark", ("en", "tap"): "light", ("es", "gallery"): "light",
    ("en", "help"): "light", ("es", "conversations"): "light", ("en", "conversation"): "light",
    ("en", "sign-in"): "narrow", ("en", "debug"): "light",
}  # fmt: skip
# The personas that only the tests have.
ONLY_STARTERS = """for (const slug of ["fleeting", "still", "brief", "quiet", "unhearing", "small", "nora", "amara"])
  for (const one of document.querySelectorAll(`.person:has([href*="/${slug}/"]), [data-persona=${slug}]`)) one.remove();
"""
SAID = """
import uuid
from datetime import datetime, timedelta, UTC
from django.contrib.auth.models import User
from avatars.models import Persona
from sessions.models import Conversation, StreamingSession
if not StreamingSession.objects.filter(provider_session_id="said-lucia").exists():
    user = User.objects.get(username="demo")
    english = [
        ("avatar", "voice", "Hi, I’m Daniel. What can I sort out for you?", False),
        ("user", "text", "Something is off with my invoice.", False),
        ("avatar", "voice", "Let’s look at it together. Which month, and what does not", True),
        ("user", "voice", "I was charged twice in October.", False),
    ]
    spanish = [
        ("avatar", "voice", "Hola, soy Lucía. ¿En qué puedo ayudarte?", False),
        ("user", "voice", "Quiero cambiar mi cita del jueves.", False),
    ]
    for days, slug, reason, lines in ((1, "daniel", "user_stopped", english), (3, "lucia", "idle", spanish)):
        persona = Persona.objects.get(slug=slug)
        began = datetime(2026, 1, 20, 14, 2, tzinfo=UTC) - timedelta(days=days)
        ended = began + timedelta(minutes=4, seconds=40)
        conversation = Conversation.objects.create(
            id=uuid.uuid4(), user=user, persona=persona, started_at=began, ended_at=ended
        )
        session = StreamingSession.objects.create(
            id=conversation.pk, conversation=conversation, user=user,
            account=persona.avatar.account, persona=persona, persona_version=persona.version,
            persona_settings=persona.snapshot(), status="ended", end_reason=reason, created_at=began, live_at=began,
            provider_session_id=f"said-{slug}",
            ends_at=began + timedelta(minutes=20), ended_at=began + timedelta(minutes=4, seconds=40),
        )
        for place, (who, by, text, is_interrupted) in enumerate(lines):
            at = began + timedelta(seconds=9 * place)
            session.utterances.create(
                who=who, by=by, text=text, is_interrupted=is_interrupted, source="browser", at=at
            )
"""


@pytest.mark.parametrize("language", ["es", pytest.param("en", marks=pytest.mark.proof)])
async def test_every_page_is_accessible(chromium: Browser, stage: Stage, language: str, pictures: Path) -> None:
    """axe finds nothing, and nothing scrolls sideways at 360 px."""
    portal = stage.portal
    portal.manage("shell", "-v0", "-c", SAID)
    context = await chromium.new_context(locale=language, viewport=WIDE, reduced_motion="reduce")
    page = await context.new_page()
    page_checks = PageChecks(page, language, pictures)

    async def look(name: str, path: str) -> None:
        await page.goto(f"{portal.url}{path}")
        await page.evaluate(ONLY_STARTERS)
        await page_checks.check(name, picture=PICTURES.get((language, name), ""))

    await look("sign-in", "/accounts/login/")
    await look("nowhere", "/nowhere/")
    await stage.person.sign_in(page, portal)
    for name, path in {
        "gallery": "/",
        "gallery-nobody": "/?q=nobody",
        "help": "/help/",
        "check": "/check/",
        "conversations": "/conversations/",
        "conversations-none": "/conversations/?q=nobody",
        "my-data": "/data/",
        "close-account": "/data/close/",
        "erase": "/conversations/erase/",
        "how-you-sign-in": "/accounts/second-factor/",
        "confirm": "/accounts/reauthenticate/",
    }.items():
        await look(name, path)
    await page.goto(f"{portal.url}/conversations/?persona=daniel&to=2026-02-01")
    await page.click(".talk a")
    await page_checks.check("conversation", picture=PICTURES.get((language, "conversation"), ""))
    await page.click("[popovertarget=menu]")
    await page_checks.check("menu")
    assert page_checks.problems == []
    await context.close()


@pytest.mark.parametrize("language", ["es", pytest.param("en", marks=pytest.mark.proof)])
async def test_every_state_of_the_room_is_accessible(
    chromium: Browser, stage: Stage, language: str, pictures: Path
) -> None:
    """axe finds nothing, and nothing scrolls sideways at 360 px."""
    asked = {"locale": language, "viewport": WIDE, "reduced_motion": "reduce"}
    async with RoomPage.opened(chromium, stage, slug=SLUG[language], **asked) as room:
        page, proxy = room.page, SocketProxy()
        page_checks = PageChecks(page, language, pictures)
        await page.route_web_socket("**/ws/personas/**", proxy.connect)
        await page.reload()

        async def look(state: str) -> None:
            await room.state(state)
            await page_checks.check(state, picture=PICTURES.get((language, state), ""))

        await look("ready")
        proxy.blocks_start = True
        await page.click("#start")
        await look("connecting")
        proxy.tell("queue.place", place=3, waiting=4, expected_wait_s=200)
        await look("queue")
        await page.click("#leave-line")
        await page.click("#start")
        since = datetime.now(UTC) - timedelta(minutes=12)
        proxy.tell("error", code="session_running", words="", session={"persona": "Inés", "started_at": str(since)})
        await look("take-over")
        await page.click("#leave-there")
        await page.click("#start")
        words = {"es": "Todos los lugares están ocupados.", "en": "All slots are taken."}[language]
        proxy.tell("error", code="provider_limit", words=words)
        await look("failed")
        proxy.blocks_start = False
        await page.click("#retry")
        await room.state("live")
        await expect(room.lines("avatar").first).to_have_text(re.compile(".{20,}"))
        await room.write(QUESTION[language])
        await expect(room.lines("avatar").nth(1)).to_have_text(re.compile(".{40,}"))
        await look("live")
        proxy.tell("session.ending", why="idle", at=str(datetime.now(UTC) + timedelta(seconds=43)), seconds=43)
        await look("ending")
        proxy.tell("session.staying")
        await room.state("live")  # before another state is only shown: the page must not draw over it
        await page.evaluate(SHOW_STATE, "tap")
        await look("tap")
        await page.evaluate(SHOW_STATE, "live")
        await page.evaluate("document.querySelector('#end').click()")
        await look("ended")
        # The other states without video, which would take a processor meanwhile.
        for state in set(await page.evaluate(STATES)) - page_checks.seen:
            await page.evaluate(SHOW_STATE, state)
            await look(state)
        assert page_checks.problems == []
        assert room.console_errors == []


@pytest.mark.proof
async def test_the_debug_panel_shows_events_on_one_clock(chromium: Browser, stage: Stage, pictures: Path) -> None:
    """Requirements 64 and 69."""
    stage.portal.manage("shell", "-v0", "-c", STAFF)
    asked = {"locale": "en", "viewport": WIDE, "reduced_motion": "reduce", "storage_state": None}
    async with RoomPage.opened(chromium, stage, slug="daniel", **asked) as room:
        page, page_checks = room.page, PageChecks(room.page, "en", pictures)
        await Person("guide", "a-word-for-tests").sign_in(page, stage.portal)
        await page.goto(f"{stage.portal.url}/personas/daniel/?debug")
        await room.start()
        events = page.locator("#debug-events")
        for name in ("ConnectionStateChanged", "track_published", "TrackSubscribed", "first_frame", "session.room"):
            await expect(events).to_contain_text(name)
        await expect(page.locator("#debug-facts")).to_contain_text("video/H264")
        await page.locator("#debug").scroll_into_view_if_needed()
        await page_checks.check("debug", picture=PICTURES["en", "debug"])
        assert page_checks.problems == []
        await page.evaluate("document.querySelector('#end').click()")
        await room.state("ended")
        await expect(events).to_contain_text("Disconnected")
