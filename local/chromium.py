"""Chromium for browser tests: from PATH, Playwright, or Debian's package."""

import os
import shutil
import subprocess
from pathlib import Path

from local.console import LOGS, Progress, StepFailed, run
from local.paths import VAR, VENV_PYTHON, write_whole

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACOS_PATHS = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)
CACHED_PATH = VAR / "setup" / "chromium"  # cached, because asking Playwright takes a second
HINT = "Install Chromium or Chrome so that `chromium` or `google-chrome` is on PATH, then run this again."


def path() -> Path | None:
    """Return the browser that set-up found, or None."""
    try:
        found = Path(CACHED_PATH.read_text())
    except OSError:
        return None
    return found if os.access(found, os.X_OK) else None


def is_done() -> bool:
    return path() is not None


def install(progress: Progress) -> None:
    _check_driver()
    found = _find() or _playwright_chromium() or _download(progress) or _install_debian_package(progress)
    if found is None:
        raise StepFailed("There is no Chromium on this machine, and none could be installed.", HINT)
    write_whole(CACHED_PATH, str(found).encode())


def _check_driver() -> None:
    result = subprocess.run([VENV_PYTHON, "-m", "playwright", "--version"], capture_output=True, text=True, check=False)
    if result.returncode:
        why = f"Playwright's driver does not run: {result.stderr.strip()}"
        raise StepFailed(
            why, "Install the library it names (on Debian: apt-get install libatomic1), then run this again."
        )


def _find() -> Path | None:
    candidates = [*map(shutil.which, NAMES), *MACOS_PATHS]
    return next((Path(candidate) for candidate in candidates if candidate and _runs(candidate)), None)


def _runs(program: str | Path) -> bool:
    """Whether the program runs.

    On Ubuntu the name may be a script that only suggests a snap.
    """
    try:
        result = subprocess.run([program, "--version"], capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


def _playwright_chromium() -> Path | None:
    ask = "from playwright.sync_api import sync_playwright as p\nwith p() as play: print(play.chromium.executable_path)"
    result = subprocess.run([VENV_PYTHON, "-c", ask], capture_output=True, text=True, check=False).stdout.strip()
    return Path(result) if result and _runs(result) else None


def _download(progress: Progress) -> Path | None:
    progress.say("There is no Chromium on PATH; asking Playwright for its own (about 170 MB).")
    try:
        run(progress, [VENV_PYTHON, "-m", "playwright", "install", "chromium"], "chromium", hint=HINT)
    except StepFailed:
        progress.say(f"Playwright could not download it; {LOGS / 'chromium.log'} says why.")
        return None
    return _playwright_chromium()


def _install_debian_package(progress: Progress) -> Path | None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    progress.say("Installing Debian's package.")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(progress, ["apt-get", "update"], "apt-update", hint=HINT, env=env)
    run(progress, ["apt-get", "install", "-y", "--no-install-recommends", "chromium"], "apt", hint=HINT, env=env)
    return _find()
