"""A browser page with a published SDK, and a simulated speaker."""

from __future__ import annotations

import asyncio
import mimetypes
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page, Route

from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.speech.synthesis import SAMPLE_RATE, speak
from local.paths import ROOT
from tests.support.browsing import ALLOW_SOUND, browser
from tests.timeouts import WAIT_TIMEOUT_S

HERE: Final = Path(__file__).parent / "sdk"
ORIGIN: Final = "http://localhost"  # counts as secure; nothing listens there, its files are handed to the browser
# A page whose files were handed over has no address of its own, and so may not call this machine unasked.
UNHINDERED: Final = (ALLOW_SOUND, "--no-proxy-server", "--disable-features=LocalNetworkAccessChecks")


@asynccontextmanager
async def application(name: str, *switches: str) -> AsyncIterator[Page]:
    """Open a page of the folder `sdk` and wait for its `app`."""
    async with browser(*UNHINDERED, *switches) as chromium:
        # The local authority is not in this browser's store; how to put it there is the README's matter.
        context = await chromium.new_context(ignore_https_errors=True)
        page = await context.new_page()
        await page.route(f"{ORIGIN}/**", _hand_over)
        await page.goto(f"{ORIGIN}/sdk/{name}")
        await page.wait_for_function("window.app")
        yield page


async def _hand_over(route: Route) -> None:
    """Serve the page's files and the packages it imports."""
    folder, path = route.request.url.removeprefix(f"{ORIGIN}/").split("/", 1)
    file = HERE / path if folder == "sdk" else ROOT / "node_modules" / path
    kind = "text/javascript" if file.suffix in (".js", ".mjs") else mimetypes.guess_type(file.name)[0]
    await route.fulfill(path=file, content_type=kind)


async def call(page: Page, name: str, *args: Any) -> Any:
    """Call a function of the page's `app`. Raises TimeoutError if it does not return."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        return await page.evaluate("([name, args]) => app[name](...args)", [name, args])


def microphone_switches(recording: Path) -> tuple[str, ...]:
    """Return browser switches for a microphone that plays a file in a loop.

    The permission is granted.
    """
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={recording}",
    )


def record(text: str, path: Path, *, pause_s: int = 4) -> None:
    """Write speech followed by a pause.

    The browser's microphone plays it in a loop.
    """
    speech = speak(text, Voice(language="en"))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(bytes(SAMPLE_RATE) + speech.pcm + bytes(2 * SAMPLE_RATE * pause_s))
