"""Progress output of set-up, and running its programs."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TextIO

from local.paths import ROOT, VAR

LOGS = VAR / "setup"
PLAIN_LINE_INTERVAL_S = 15.0  # seconds; without a terminal, where a line cannot be rewritten


class StepFailed(Exception):
    """A step failed: `why` is the cause, `hint` tells the user what to do."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint


class Progress:
    """A progress line: rewritten on a terminal, else printed now and then.

    Without a terminal, it is printed every PLAIN_LINE_INTERVAL_S seconds.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._start = self._said_at = time.monotonic()
        self._is_terminal = sys.stdout.isatty()
        print(f"· {title}", flush=True)

    def say(self, what: str) -> None:
        """Print a permanent line."""
        self._clear()
        print(f"  {what}", flush=True)

    def update(self, what: str) -> None:
        now = time.monotonic()
        if now - self._said_at < (0.1 if self._is_terminal else PLAIN_LINE_INTERVAL_S):
            return
        self._said_at = now
        line = f"  {now - self._start:.0f} s  {' '.join(what.split())}"[:100]
        print(f"\r\x1b[2K{line}" if self._is_terminal else line, end="" if self._is_terminal else "\n", flush=True)

    def done(self) -> None:
        self._clear()
        print(f"  done in {time.monotonic() - self._start:.1f} s", flush=True)

    def _clear(self) -> None:
        if self._is_terminal:
            print("\r\x1b[2K", end="", flush=True)


def run(
    progress: Progress, command: Sequence[str | Path], log_name: str, *, hint: str, env: Mapping[str, str] | None = None
) -> None:
    """Run a program, writing its output to a log and showing its last line.

    Raises StepFailed.
    """
    log = LOGS / f"{log_name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = [""]
    try:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as exc:
        raise StepFailed(f"{command[0]} does not run: {exc}", hint) from exc
    with log.open("w") as file, process:
        reader = Thread(target=_read, args=(process, file, lines), daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                reader.join(0.2)
                progress.update(lines[-1])
            code = process.wait()
        except BaseException:  # interrupted: do not leave it running
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            raise
    if code:
        last = "\n".join(f"    {line}" for line in lines[-15:] if line)
        program = " ".join(str(part) for part in command[:4])
        raise StepFailed(f"`{program} …` ended with {code}. Its last lines:\n{last}\n  All of it: {log}", hint)


def _read(process: subprocess.Popen[bytes], file: TextIO, lines: list[str]) -> None:
    assert process.stdout is not None
    for raw in process.stdout:
        line = raw.decode(errors="replace").rstrip()
        lines.append(line)
        print(line, file=file, flush=True)
