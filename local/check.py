"""All checks and tests, or the quick ones for a commit."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

from local import setup
from local.node import node
from local.paths import ROOT, VENV, VENV_PYTHON

TYPED = ("heygen_portal", "avatars", "sessions", "local", "tests", "bench", "bin/_start.py")
# In units, in order: tests/support/scheduling.py.
PARALLEL = ["--numprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
QUICK = ["-m", "not browser and not media and not proof"]
ALL_BUT_PROOFS = ["-m", "not proof"]


def run_all() -> NoReturn:
    """Run `bin/test`: all checks, then all tests but the proofs.

    With arguments, run only pytest with them.
    """
    _run([] if sys.argv[1:] else ALL_BUT_PROOFS)


def run_quick() -> NoReturn:
    """Run `bin/check`: all checks and the tests without browser and media."""
    _run(QUICK)


def _run(selection: list[str]) -> NoReturn:
    setup.ensure(tests=True)
    os.chdir(ROOT)
    # Dozens of processes load the portal; without bytecode files each would compile it again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    given = sys.argv[1:]
    if not given and (failed := _failed(checks())):
        sys.exit(f"\nFailed: {', '.join(failed)}. The tests were not run.")
    print("▸ pytest", flush=True)
    # Replace this process, so that pytest's exit code is ours and its summary comes last.
    os.execv(VENV_PYTHON, [str(VENV_PYTHON), "-m", "pytest", *selection, *(given or PARALLEL)])


def checks() -> list[tuple[str, list[str]]]:
    """Return the checks that do not run the portal, quickest first.

    Each is a title and a command.
    """
    tools, python = VENV / "bin", str(VENV_PYTHON)
    found = [
        ("format", [f"{tools}/ruff", "format", "--check", "--quiet", "."]),
        ("lint", [f"{tools}/ruff", "check", "--quiet", "."]),
        ("migrations", [python, "manage.py", "makemigrations", "--check", "--dry-run"]),
        ("types", [f"{tools}/mypy", *(path for path in TYPED if (ROOT / path).exists())]),
    ]
    call = node()
    assert call is not None, "set-up provides Node"
    biome = [*call, "node_modules/@biomejs/biome/bin/biome"]
    found.append(("JavaScript format and lint", [*biome, "check", "--error-on-warnings", "--colors=off"]))
    # Some versions of Node accept folders and others patterns, but all accept files.
    if scripts := sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/js/**/*.test.js")):
        found.append(("JavaScript", [*call, "--test", "--test-reporter", "spec", *scripts]))
    found.append(("JavaScript types", [*call, "node_modules/typescript/bin/tsc", "--noEmit"]))
    return found


def _failed(checks: list[tuple[str, list[str]]]) -> list[str]:
    """Run the checks in parallel and print their output in order.

    Return the titles that failed.
    """
    failed = []
    with ExitStack() as stack:
        processes = [(title, stack.enter_context(_started(command))) for title, command in checks]
        for title, process in processes:
            print(f"▸ {title}", flush=True)
            output, _ = process.communicate()
            print(output, end="", flush=True)
            if process.returncode:
                failed.append(title)
    return failed


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # still running only if we are interrupted
