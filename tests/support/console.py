"""Management commands in one process.

Loading Django takes a second each time.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from local.paths import ROOT, VENV_PYTHON
from local.processes import StartFailed


class Console:
    """A process that runs a portal's management commands one after the other."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def run(self, *args: str) -> str:
        """Run a command with this portal's settings and return its output.

        Raises StartFailed if it fails.
        """
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(args), file=self._process.stdin, flush=True)
        if not (line := self._process.stdout.readline()):
            raise StartFailed(f"The console ended at {args}:\n{self._log.read_text(errors='replace')}")
        answer = json.loads(line)
        if answer["failed"]:
            raise StartFailed(f"{' '.join(args)} failed:\n{answer['output']}{answer['failed']}")
        return str(answer["output"])


@contextmanager
def console(environment: Mapping[str, str], log: Path) -> Iterator[Console]:
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [str(VENV_PYTHON), "-m", "tests.support.console"],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,
        ) as process,  # closes its input at the end, which ends it
    ):
        yield Console(process, log)


def serve() -> None:
    import django
    from django.core.management import call_command

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heygen_portal.settings")
    django.setup()
    answers = sys.stdout
    for line in sys.stdin:
        output, failed = io.StringIO(), ""
        with redirect_stdout(output):
            try:
                call_command(*json.loads(line))
            except (Exception, SystemExit):  # noqa: BLE001 - passed on to the caller
                failed = traceback.format_exc()
        print(json.dumps({"output": output.getvalue(), "failed": failed}), file=answers, flush=True)


if __name__ == "__main__":
    serve()
