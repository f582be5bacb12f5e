"""Child processes: start, wait until ready, end with their process group."""

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

POLL_INTERVAL_S = 0.02  # seconds between two checks
STOP_TIMEOUT_S = 10.0  # seconds from SIGTERM to SIGKILL


def end_as_on_ctrl_c() -> None:
    """Handle SIGTERM and SIGHUP like Ctrl-C.

    This program then ends its children in order.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # ignored under nohup
            signal.signal(number, _interrupt_once)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    # `timeout` sends the signal twice. The second must not interrupt the shutdown.
    signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt


class StartFailed(Exception):
    """A program did not start. The message contains its last output."""


class Child:
    """A child process in its own process group, with its output in a file."""

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
        """Return its output over all starts."""
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
        """Wait until it is ready.

        Raises StartFailed if it exits or takes too long; in that case it is ended.
        """
        deadline = time.monotonic() + seconds
        while not is_ready():
            if not self.is_running:
                raise StartFailed(self._failure_message(f"{self.name} exited at once"))
            if time.monotonic() > deadline:
                self.stop()
                raise StartFailed(self._failure_message(f"{self.name} was not ready within {seconds:g} s"))
            time.sleep(POLL_INTERVAL_S)

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Send SIGTERM, wait, and kill what is left of its group. Idempotent."""
        if self._process is None:
            return
        # Signal only the leader, because a Celery worker ends its own pool.
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """Kill it and its group at once, like a crash."""
        if self._process is not None:
            end_group(self._process)

    def _failure_message(self, what: str) -> str:
        last = "\n".join(self.output().splitlines()[-30:])
        return f"{what}.\nIt was started as: {' '.join(self._command)}\nIts last lines:\n{last or '(none)'}"


def end_group(leader: subprocess.Popen[bytes]) -> None:
    """Kill a process group by its leader. Return when all its processes are gone."""
    deadline = time.monotonic() + 2  # in case the init process does not reap orphans
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()
        while time.monotonic() < deadline:
            os.killpg(leader.pid, 0)
            time.sleep(POLL_INTERVAL_S)
    leader.wait()


def answers_http(url: str) -> bool:
    """Whether a GET of this URL succeeds with a 2xx status."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(200 <= answer.status < 300)
    except (OSError, urllib.error.URLError, ValueError):
        return False
