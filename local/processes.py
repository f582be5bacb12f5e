"""Programs that we start, wait for, and end by their own process ID."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from local.paths import ROOT

POLL = 0.02  # seconds between two looks
PATIENCE = 10.0  # seconds from SIGTERM to SIGKILL


def end_as_on_ctrl_c() -> None:
    """Let SIGTERM and a closed terminal end this program in order, with all that it started, as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
            signal.signal(number, _interrupt_once)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    # `timeout` sends it twice, and the second must not cut short the end that the first began.
    signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt


class StartFailed(Exception):
    """A program did not come up; the message holds what it printed last."""


class Child:
    """One program of ours, in a process group of its own, with its output in a file."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> None:
        self.name = name
        self._command = list(command)
        self._log = log
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def output(self) -> str:
        """Return all that it printed, over all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, is_ready: Callable[[], bool], *, seconds: float = 30) -> None:
        """Return once it is ready. Raises StartFailed when it exits before, or takes too long; it is ended then."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            if not self.is_running:
                raise StartFailed(self._story(f"{self.name} exited at once"))
            if time.monotonic() > deadline:
                self.stop()
                raise StartFailed(self._story(f"{self.name} was not ready within {seconds:g} s"))
            time.sleep(POLL)

    def stop(self, *, patience: float = PATIENCE) -> None:
        """Ask it to end, wait, and end what is left of its group by force. Safe to repeat."""
        if self._process is None:
            return
        # Only the leader is asked: a Celery worker wants to end its own pool.
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self.kill()

    def kill(self) -> None:
        """End it and all it started at once, as a crash or a power cut would."""
        if self._process is not None:
            end_group(self._process)

    def _story(self, what: str) -> str:
        last = "\n".join(self.output().splitlines()[-30:])
        return f"{what}.\nIt was started as: {' '.join(self._command)}\nIts last lines:\n{last or '(none)'}"


def end_group(leader: subprocess.Popen[bytes]) -> None:
    """End a program that leads a process group, and all that is in it. Returns when none of them is left."""
    deadline = time.monotonic() + 2  # in case whoever inherits orphans here does not bury them
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()
        while time.monotonic() < deadline:
            os.killpg(leader.pid, 0)
            time.sleep(POLL)
    leader.wait()


def answers_http(url: str) -> bool:
    """Tell whether a GET of this address answers with a success, now."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(200 <= answer.status < 300)
    except (OSError, urllib.error.URLError, ValueError):
        return False
