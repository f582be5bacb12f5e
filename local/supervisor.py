"""Runs several programs in one terminal, prefixing output with their names.

All end together.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock, Thread

from local.paths import ROOT
from local.processes import POLL_INTERVAL_S, end_group

STOP_TIMEOUT_S = 10.0  # seconds from SIGTERM to SIGKILL for all programs together
COLOURS = (36, 33, 32, 35, 34, 31)


class ChildEnded(Exception):
    """A program ended unexpectedly. The message names it."""


class Supervisor:
    def __init__(self, names: Sequence[str], *, hidden: Sequence[str] = ()) -> None:
        """Take the programs' names, and parts of lines that are not printed."""
        self._hidden = tuple(part.encode() for part in hidden)
        self._width = max(map(len, names), default=0)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._readers: list[Thread] = []
        self._printing = Lock()

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**env, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches only this process, which ends them in order.
            start_new_session=True,
        )
        self._children[name] = child
        self._readers.append(Thread(target=self._relay, args=(name, child), daemon=True))
        self._readers[-1].start()

    def wait_until(self, is_ready: Callable[[], bool], what: str, *, seconds: float = 60) -> None:
        """Wait until a program is ready.

        Raises ChildEnded if any program ends, or after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise ChildEnded(f"{what} did not answer within {seconds:g} s")
            time.sleep(POLL_INTERVAL_S)
        self.check()  # another program may have taken its port and answered instead

    def check(self) -> None:
        """Raise ChildEnded if a program has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                how = f"by signal {-child.returncode}" if child.returncode < 0 else f"with code {child.returncode}"
                raise ChildEnded(f"{name} ended by itself, {how}; its last lines are above")

    def watch(self) -> None:
        """Wait until a program ends. Raises ChildEnded then."""
        while True:
            self.check()
            time.sleep(0.2)

    def stop(self) -> None:
        """End all programs in reverse order.

        SIGTERM first, then SIGKILL after STOP_TIMEOUT_S or on Ctrl-C.
        """
        deadline = time.monotonic() + STOP_TIMEOUT_S
        try:
            for child in reversed(self._children.values()):
                # Signal only the leader, because a Celery worker ends its own pool.
                child.terminate()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(max(0.0, deadline - time.monotonic()))
        except KeyboardInterrupt:
            pass
        finally:
            for child in self._children.values():
                end_group(child)
        for reader in self._readers:
            reader.join(1)

    def _relay(self, name: str, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        label = f"{name:{self._width}} |"
        if sys.stdout.isatty():
            label = f"\x1b[{COLOURS[list(self._children).index(name) % len(COLOURS)]}m{label}\x1b[0m"
        with child.stdout as lines:
            for line in lines:
                if any(part in line for part in self._hidden):
                    continue
                with self._printing:
                    print(label, line.decode(errors="replace").rstrip(), flush=True)
