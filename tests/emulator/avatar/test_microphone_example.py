"""The documented microphone example, run as documented."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import expect

from local.paths import ROOT
from tests.emulator.sdk_page import microphone_switches, record
from tests.support import servers
from tests.support.browsing import ALLOW_SOUND, browser

pytestmark = [pytest.mark.browser, pytest.mark.media]


@pytest.fixture
def checkout() -> Iterator[str]:
    """Serve the checkout as the documentation describes, and return its URL."""
    with _served(ROOT) as address:
        yield address


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


async def test_the_documented_microphone_example_is_heard_and_answered(
    emulator: servers.Emulator, checkout: str, tmp_path: Path
) -> None:
    """Requirement 80."""
    microphone = tmp_path / "microphone.wav"
    record("What is the weather today?", microphone)
    async with browser(ALLOW_SOUND, *microphone_switches(microphone)) as chromium:
        page = await chromium.new_page()
        query = f"key={emulator.api_key}&provider={emulator.url}"
        await page.goto(f"{checkout}/docs/examples/microphone.html?{query}")
        await page.click("#speak")
        # It is said over and over: on a busy machine, what arrives broken is not understood.
        lines = page.locator("#said li")
        await expect(lines.filter(has_text=re.compile("You: .*weather")).first).to_be_visible(timeout=60_000)
        await expect(lines.filter(has_text="Daniel: The weather is fine").first).to_be_visible(timeout=40_000)
        await page.click("#end")
        await expect(page.locator("#speak")).to_be_enabled()
