"""A portal with people who can be seen and heard, and the room's page in a real browser."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests import servers
from tests.browser.room_page import RoomPage
from tests.browsing import ALLOW_SOUND, browser

# Copies of the starters with limits short enough to be waited for.
PERSONAS = """
from datetime import timedelta
from avatars.models import Persona
limits = {"brief": {"duration_limit": timedelta(seconds=22)}, "quiet": {"idle_timeout": timedelta(seconds=18)}}
for slug, changes in limits.items():
    persona = Persona.objects.get(slug="daniel")
    persona.pk, persona.slug, persona.greeting = None, slug, ""
    for name, value in changes.items():
        setattr(persona, name, value)
    persona.save()
"""


@pytest.fixture(scope="package")
def stage(
    redis_url: str, livekit: servers.LiveKit, emulator: servers.Emulator
) -> Iterator[tuple[servers.Portal, servers.Emulator]]:
    """The portal and the emulator behind it."""
    with servers.portal(redis_url, emulator, livekit) as portal:
        portal.manage("shell", "-v0", "-c", PERSONAS)
        yield portal, emulator


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with browser(ALLOW_SOUND) as chromium:
        yield chromium


@pytest.fixture
async def room(chromium: Browser, stage: tuple[servers.Portal, servers.Emulator]) -> AsyncIterator[RoomPage]:
    """Lucía's room in Spanish, not started; whatever runs at the end of the test is stopped."""
    async with RoomPage.opened(chromium, *stage) as room:
        yield room


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures for the documentation go: PICTURES names the folder, else nobody keeps them."""
    return Path(os.environ.get("PICTURES") or tmp_path)
