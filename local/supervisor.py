"""Runs several programs in one terminal: each line of output under its program's name; all end together."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock, Thread

from local.paths import ROOT
from local.processes import POLL, end_group

PATIENCE = 10.0  # seconds that all of them together have, from SIGTERM to SIGKILL
COLOURS = (36, 33, 32, 35, 34, 31)


class ChildEnded(Exception):
    """One of the programs ended by itself; the message says which."""


class Supervisor:
    def __init__(self, names: Sequence[str]) -> None:
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
            # Ctrl-C reaches us alone, so that they end in order.
            start_new_session=True,
        )
        self._children[name] = child
        self._readers.append(Thread(target=self._relay, args=(name, child), daemon=True))
        self._readers[-1].start()

    def wait_until(self, is_ready: Callable[[], bool], what: str, *, seconds: float = 60) -> None:
        """Return once it is ready. Raises ChildEnded when a program ends, or when it takes too long."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise ChildEnded(f"{what} did not answer within {seconds:g} s")
            time.sleep(POLL)
        self.check()  # somebody else may have taken its port, and answered in its place

    def check(self) -> None:
        """Raise ChildEnded when a program has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                how = f"by signal {-child.returncode}" if child.returncode < 0 else f"with code {child.returncode}"
                raise ChildEnded(f"{name} ended by itself, {how}; its last lines are above")

    def watch(self) -> None:
        """Wait for ever. Raises ChildEnded when a program ends."""
        while True:
            self.check()
            time.sleep(0.2)

    def stop(self) -> None:
        """End them all, the last started first, by force in the end. Interrupted, use force at once."""
        deadline = time.monotonic() + PATIENCE
        try:
            for child in reversed(self._children.values()):
                # Only the leader is asked: a Celery worker wants to end its own pool.
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
                with self._printing:
                    print(label, line.decode(errors="replace").rstrip(), flush=True)
