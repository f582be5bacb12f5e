"""The performer as seen and heard in a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from heygen_portal.emulator.avatar.performer import RoomPerformer
from heygen_portal.emulator.sessions.interfaces import PerformerConfig, Voice
from local.paths import ROOT
from tests.emulator.viewer import token
from tests.support import browsing, servers

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.proof]

CLIENT = ROOT / "node_modules" / "livekit-client" / "dist" / "livekit-client.umd.js"
TEXT = "Hola ¿cómo estás? Bienvenida a la clínica. Mañana abrimos a las ocho."


@pytest_asyncio.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with browsing.browser(browsing.ALLOW_SOUND) as browser:
        yield browser


@pytest.mark.parametrize(
    ("quality", "encoding", "size"),
    [("low", "H264", [640, 360]), ("high", "VP8", [1280, 720])],
)
async def test_the_mouth_moves_in_the_browser_only_while_sound_plays(
    livekit: servers.LiveKit, chromium: Browser, quality: str, encoding: str, size: list[int]
) -> None:
    page = await chromium.new_page()
    await page.add_script_tag(path=str(CLIENT))
    await page.add_script_tag(path=str(Path(__file__).with_name("watch.js")))
    room = f"browser-{quality}"
    performer_config = PerformerConfig(
        livekit.url, token(livekit, room, "heygen"), "lucia", quality=quality, encoding=encoding, voice=Voice("es")
    )
    performer = RoomPerformer(performer_config, lambda _: None, lambda: None, lambda _: None)
    try:
        await page.evaluate("([url, token]) => join(url, token)", [livekit.url, token(livekit, room, "client")])
        await performer.join()
        await page.wait_for_function("seen.frames > 10 && seen.analyser")
        await page.wait_for_function(
            "([width, height]) => seen.video.videoWidth === width && seen.video.videoHeight === height", arg=size
        )
        before = await _look(page, 25)
        performer.say(TEXT, task_id="t-1")
        await page.wait_for_function("seen.events.some(event => event.type === 'avatar_talking_message')")
        talking = await _look(page, 50)
        await page.wait_for_function("seen.events.some(event => event.type === 'avatar_stop_talking')")
        await _look(page, 10)
        after = await _look(page, 25)
    finally:
        await performer.leave()
    assert len({look["open"] for look in talking}) == 2
    assert sum(look["loud"] for look in talking) > 15
    assert not [look for look in before + after if look["open"] or look["loud"]]


async def _look(page: Page, pictures: int) -> list[dict[str, Any]]:
    looks: list[dict[str, Any]] = await page.evaluate("pictures => look(pictures)", pictures)
    return looks
