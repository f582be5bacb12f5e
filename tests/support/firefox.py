"""The system's Firefox for proofs, driven by Playwright over WebDriver BiDi."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MappingProxyType

from playwright.async_api import Browser, async_playwright

from local.processes import Child
from tests.support import servers

# Without an audio device Firefox renders no sound. PulseAudio provides a null sink.
PROGRAMS = {"firefox-esr": ("firefox-esr", "firefox"), "pulseaudio": ("pulseaudio",)}
PREFERENCES: dict[str, str | float | bool] = {
    "media.navigator.streams.fake": True,  # a microphone that plays a tone,
    "permissions.default.microphone": 1,  # and may be used
}


def missing_packages() -> str:
    """Return the missing Debian packages, separated by spaces."""
    return " ".join(package for package, names in PROGRAMS.items() if not _which(names))


@asynccontextmanager
async def firefox(
    downloads: Path, preferences: Mapping[str, str | float | bool] = MappingProxyType({})
) -> AsyncIterator[Browser]:
    """Run the installed Firefox, headless."""
    with _loudspeaker() as address:
        async with async_playwright() as playwright:
            browser = await playwright.firefox.launch(
                channel="moz-firefox",  # any Firefox that supports WebDriver BiDi
                executable_path=_which(PROGRAMS["firefox-esr"]),
                downloads_path=downloads,
                env={**os.environ, "PULSE_SERVER": address},
                firefox_user_prefs={**PREFERENCES, **preferences},
            )
            try:
                yield browser
            finally:
                await browser.close()


@contextmanager
def _loudspeaker() -> Iterator[str]:
    with servers.folder() as here:
        socket = here / "socket"
        modules = ("module-null-sink", f"module-native-protocol-unix socket={socket} auth-anonymous=1")
        switches = ["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
        command = ["pulseaudio", *switches, *(f"--load={module}" for module in modules)]
        home = {"HOME": str(here), "XDG_RUNTIME_DIR": str(here)}

        def make() -> tuple[Child, Callable[[], bool]]:
            return Child("pulseaudio", command, here / "log", env=home), socket.exists

        with servers.running(make):
            yield f"unix:{socket}"


def _which(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)
