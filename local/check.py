"""Every check and test, or what of them runs before a commit."""

import os
import subprocess
import sys
from typing import NoReturn

from local import setup
from local.node import node
from local.paths import ROOT, VENV, VENV_PYTHON

TYPED = ("heygen_portal", "avatars", "sessions", "local", "tests", "bench", "bin/_start.py")
# In groups, in their order; tests/conftest.py makes both.
SIDE_BY_SIDE = ["--numprocesses", "2", "--dist", "loadgroup", "--no-loadscope-reorder"]
QUICK = ["-m", "not browser and not media and not proof"]
USUAL = ["-m", "not proof"]


def everything() -> NoReturn:
    """`bin/test`: all checks, then all tests but the proofs. With arguments, only pytest with these."""
    _run([] if sys.argv[1:] else USUAL)


def before_commit() -> NoReturn:
    """`bin/check`: all checks, then the tests that need neither browser nor media."""
    _run(QUICK)


def _run(selection: list[str]) -> NoReturn:
    setup.ensure(tests=True)
    os.chdir(ROOT)
    given = sys.argv[1:]
    if not given and (failed := [title for title, command in checks() if not _passes(title, command)]):
        sys.exit(f"\nFailed: {', '.join(failed)}. The tests were not run.")
    print("▸ pytest", flush=True)
    # Replaced by pytest: its exit code is ours, and its summary the last that is said.
    os.execv(VENV_PYTHON, [str(VENV_PYTHON), "-m", "pytest", *selection, *(given or SIDE_BY_SIDE)])


def checks() -> list[tuple[str, list[str]]]:
    """Return what is checked without running the portal, the quickest first."""
    tools, python = VENV / "bin", str(VENV_PYTHON)
    found = [
        ("format", [f"{tools}/ruff", "format", "--check", "--quiet", "."]),
        ("lint", [f"{tools}/ruff", "check", "--quiet", "."]),
        ("migrations", [python, "manage.py", "makemigrations", "--check", "--dry-run"]),
        ("types", [f"{tools}/mypy", *(path for path in TYPED if (ROOT / path).exists())]),
    ]
    call = node()
    assert call is not None, "set-up provides Node"
    # Node's own search takes folders in some versions and patterns in others; files in all.
    if scripts := sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/js/**/*.test.js")):
        found.append(("JavaScript", [*call, "--test", *scripts]))
    found.append(("JavaScript types", [*call, "node_modules/typescript/bin/tsc", "--noEmit"]))
    return found


def _passes(title: str, command: list[str]) -> bool:
    print(f"▸ {title}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
