"""Reading of files by a process of its own, whose time and memory are bounded.

A document may be made to use up both: an archive that unpacks to gigabytes, or a page that takes hours.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from avatars.documents.parsing import Block, Parsed, Unreadable, UnreadPage, parse

ROOT = Path(__file__).resolve().parent.parent.parent
CPU_SECONDS = 120
TIMEOUT_SECONDS = 240
MEMORY_BYTES = 1536 * 1024 * 1024
RESULT_BYTES = 64 * 1024 * 1024


def read(path: Path, name: str) -> Parsed:
    """Parse a file. Raises Unreadable."""
    command = [sys.executable, "-m", "avatars.documents.reader", name]
    with path.open("rb") as file, TemporaryFile() as answer:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                stdin=file,
                stdout=answer,
                stderr=subprocess.DEVNULL,  # tracebacks may quote the document
                env={},
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise Unreadable("too_long") from exc
        if done.returncode:  # negative: stopped by a limit
            raise Unreadable("too_long" if done.returncode < 0 else "damaged")
        answer.seek(0)
        result = json.load(answer)
    if "failure" in result:
        raise Unreadable(result["failure"])
    return _parsed(result)


def _parsed(result: dict[str, Any]) -> Parsed:
    blocks = [Block(**block) for block in result["blocks"]]
    return Parsed(result["title"], blocks, result["pages"], [UnreadPage(**page) for page in result["unread"]])


def main() -> None:
    """Parse the file on standard input, and write what was found as JSON."""
    for limit, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, RESULT_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # not on every system
            resource.setrlimit(limit, (most, most))
    try:
        result: dict[str, Any] = asdict(parse(sys.stdin.buffer.read(), sys.argv[1]))
    except Unreadable as exc:
        result = {"failure": exc.code}
    except (MemoryError, RecursionError):
        result = {"failure": "too_long"}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
