"""A portal with emulated avatars, and the room page in a real browser."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser import microphone_sounds
from tests.browser.room_page import Person, RoomPage, Stage
from tests.support import pseudo_locale, servers
from tests.support.browsing import ALLOW_SOUND, browser, password

SPOKEN_TEXT = "What is the weather today?"  # in a synthetic voice, which the emulator's ear understands
# Copies of the starters with limits short enough to be waited for.
PERSONAS = """
from datetime import timedelta
from avatars.models import Persona
copies = {"fleeting": {"duration_limit": timedelta(seconds=3)}, "still": {"idle_timeout": timedelta(seconds=3)},
          "brief": {"duration_limit": timedelta(seconds=18)}, "quiet": {"idle_timeout": timedelta(seconds=18)},
          "unhearing": {"is_voice_enabled": False}, "small": {"quality": "low"}, "asking": {"requires_consent": True}}
for slug, changes in copies.items():
    persona = Persona.objects.get(slug="daniel")
    persona.pk, persona.current, persona.slug, persona.greeting = None, None, slug, ""
    for name, value in changes.items():
        setattr(persona, name, value)
    persona.save()
"""
# A small picture is as good, and a large one takes a processor for itself.
SMALL_VIDEO = """
from avatars.models import Persona, PersonaVersion
for personas in (Persona, PersonaVersion):
    personas.objects.update(quality="low")
"""
# The second starter's work, done by two other people on the other wire, where the knowledge base says its opening
# itself: one hears all the time, one by the button.
LIVEAVATAR_PERSONAS = """
from avatars.personas import starters
from avatars.models import ProviderAccount
account, works = ProviderAccount.objects.get(kind="liveavatar"), starters.STARTERS[1] | {"greeting": ""}
starters.publish_starter(account, works | {"slug": "nora", "name": "Nora"})
starters.publish_starter(account, works | {"slug": "amara", "name": "Amara", "interactivity": "push_to_talk"})
"""


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def chromium() -> AsyncIterator[Browser]:
    """Return one browser for all tests. Each test has its own context."""
    async with browser(ALLOW_SOUND) as chromium:
        yield chromium


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def with_microphone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """Return a browser whose microphone loops a recording."""
    recording = tmp_path_factory.mktemp("microphone") / "said.wav"
    microphone_sounds.record(microphone_sounds.speak_text(SPOKEN_TEXT), recording)
    async with browser(ALLOW_SOUND, *microphone_sounds.microphone(recording)) as chromium:
        yield chromium


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def stage(
    livekit: servers.LiveKit, emulator: servers.Emulator, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    translations = tmp_path_factory.mktemp("translations")
    pseudo_locale.write(translations)
    with servers.portal(emulator, livekit, env={"TRANSLATIONS_DIR": str(translations)}) as portal:
        portal.manage("shell", "-v0", "-c", PERSONAS)
        portal.manage("shell", "-v0", "-c", LIVEAVATAR_PERSONAS)
        if not os.environ.get("PICTURES"):
            portal.manage("shell", "-v0", "-c", SMALL_VIDEO)
        portal.use_rooms(os.environ.get("ROOMS", "provider"))  # ROOMS=own: the whole suite in rooms of our own LiveKit
        # Set once, because each new password would invalidate the cookies.
        demo = Person("demo", password(portal, "demo"))
        page = await chromium.new_page()
        await demo.sign_in(page, portal)
        yield Stage(portal, emulator, demo, await page.context.storage_state())


@pytest_asyncio.fixture(loop_scope="package")
async def room(chromium: Browser, stage: Stage) -> AsyncIterator[RoomPage]:
    """Open Lucía's room in Spanish without starting.

    A running session is stopped after the test.
    """
    async with RoomPage.opened(chromium, stage) as room:
        yield room


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return the folder for the documentation's pictures, or a temporary one.

    The variable PICTURES names it.
    """
    return Path(os.environ.get("PICTURES") or tmp_path)
