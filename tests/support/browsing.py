"""A real Chromium for tests and benchmarks, signed in as a user of `first_run`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright

from local import chromium
from tests.support.servers import Portal

QUIET = (
    "--no-sandbox",  # tests run as root on some machines
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
ALLOW_SOUND = "--autoplay-policy=no-user-gesture-required"


@asynccontextmanager
async def browser(*args: str, within: Callable[[str], str] = str) -> AsyncIterator[Browser]:
    """Run a headless Chromium with command-line `args`.

    `within` wraps the program, as `restricted_network.network` does.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=within(_chromium()), args=[*QUIET, *args])
        try:
            yield browser
        finally:
            await browser.close()


def _chromium() -> str:
    found = chromium.path()
    assert found, "bin/setup --tests has not been run"
    return str(found)


def password(portal: Portal, username: str) -> str:
    """Reset and return the password of a user of `first_run`."""
    found = re.search(rf"as {username} with the password (\S+)", portal.manage("first_run", "--reset-passwords"))
    assert found, "first_run no longer says how to sign in"
    return found.group(1)


async def sign_in(page: Page, portal: Portal, username: str = "demo", path: str = "/") -> None:
    """Sign in on the portal's page and continue to a path."""
    await page.goto(f"{portal.url}/accounts/login/?next={path}")
    await page.fill("input[name=login]", username)
    await page.fill("input[name=password]", password(portal, username))
    await page.press("input[name=password]", "Enter")
    await page.wait_for_url(f"{portal.url}{path}")
