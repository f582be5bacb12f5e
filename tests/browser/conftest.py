"""A portal with people who can be seen and heard, and the room's page in a real browser."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests import servers
from tests.browser.room_page import Person, RoomPage, Stage
from tests.browsing import ALLOW_SOUND, browser, password

# Copies of the starters with limits short enough to be waited for.
PERSONAS = """
from datetime import timedelta
from avatars.models import Persona
copies = {"brief": {"duration_limit": timedelta(seconds=22)}, "quiet": {"idle_timeout": timedelta(seconds=18)},
          "unhearing": {"is_voice_enabled": False}, "small": {"quality": "low"}}
for slug, changes in copies.items():
    persona = Persona.objects.get(slug="daniel")
    persona.pk, persona.slug, persona.greeting = None, slug, ""
    for name, value in changes.items():
        setattr(persona, name, value)
    persona.save()
"""
# The first starter's work, done by another person on the other wire, where the knowledge base says its opening itself.
OTHER_WIRE = """
from avatars import starters
from avatars.models import ProviderAccount
wanted = starters.STARTERS[0] | {"slug": "ines", "name": "Inés", "greeting": ""}
starters.publish_starter(ProviderAccount.objects.get(kind="liveavatar"), wanted)
"""


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all; each test has a context of its own."""
    async with browser(ALLOW_SOUND) as chromium:
        yield chromium


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def stage(
    redis_url: str, livekit: servers.LiveKit, emulator: servers.Emulator, chromium: Browser
) -> AsyncIterator[Stage]:
    with servers.portal(redis_url, emulator, livekit) as portal:
        portal.manage("shell", "-v0", "-c", PERSONAS)
        portal.manage("shell", "-v0", "-c", OTHER_WIRE)
        portal.use_rooms(os.environ.get("ROOMS", "provider"))  # ROOMS=own: the whole suite in rooms of our own LiveKit
        # Once for all: each new password would sign out whoever has the cookies.
        demo = Person("demo", password(portal, "demo"))
        page = await chromium.new_page()
        await demo.sign_in(page, portal)
        yield Stage(portal, emulator, demo, await page.context.storage_state())


@pytest_asyncio.fixture(loop_scope="package")
async def room(chromium: Browser, stage: Stage) -> AsyncIterator[RoomPage]:
    """Lucía's room in Spanish, not started; whatever runs at the end of the test is stopped."""
    async with RoomPage.opened(chromium, stage) as room:
        yield room


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures for the documentation go: PICTURES names the folder, else nobody keeps them."""
    return Path(os.environ.get("PICTURES") or tmp_path)
