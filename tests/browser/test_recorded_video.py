"""A recorded video, from the order in the admin to playback."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.async_api import Browser

from tests.support import servers
from tests.support.browsing import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.proof, pytest.mark.asyncio(loop_scope="package")]

WAIT_TIMEOUT_MS = 90_000
AVATAR = """
from avatars.models import Avatar
print(Avatar.objects.filter(account__kind="heygen").first().pk)
"""
# The admin looks its choices up as one types; what it would have found is put there.
CHOOSE = "([field, key]) => document.querySelector(`select[name=${field}]`).add(new Option(key, key, true, true))"
PLAY = """(film) => new Promise((resolve, reject) => {
  film.addEventListener("error", () => reject(new Error(film.error.message)));
  film.addEventListener("timeupdate", () => {
    const { totalVideoFrames } = film.getVideoPlaybackQuality();
    if (film.currentTime < 1) return;
    resolve({ width: film.videoWidth, shown: totalVideoFrames, heard: film.webkitAudioDecodedByteCount });
  });
  film.play().catch(reject);
})"""


@pytest.fixture(scope="module")
def portal() -> Iterator[servers.Portal]:
    with servers.emulator(media=False) as emulator, servers.portal(emulator) as portal:
        yield portal


async def test_a_recorded_video_is_fetched_and_played(portal: servers.Portal, chromium: Browser) -> None:
    """Requirement 74."""
    [avatar] = re.findall(r"\d+", portal.manage("shell", "-v0", "-c", AVATAR))
    async with await chromium.new_context(locale="es") as context:
        page = await context.new_page()
        page.set_default_timeout(WAIT_TIMEOUT_MS)
        await sign_in(page, portal, "admin", "/admin/avatars/video/add/")
        await page.fill("[name=title]", "Bienvenida")
        await page.fill("[name=text]", "Hola, soy Lucía. Bienvenida a la recepción. ¿En qué puedo ayudarte hoy?")
        await page.evaluate(CHOOSE, ["avatar", avatar])
        await page.click("[name=_save]")
        await page.click("a[href*='/videos/']")
        await page.click("form[action$='/fetch'] button")  # the page looks again by itself until it can be fetched
        film = await page.wait_for_selector("video.film")
        assert film
        seen = await film.evaluate(PLAY)
    assert seen["width"] > 0
    assert seen["shown"] > 10
    assert seen["heard"] > 0
