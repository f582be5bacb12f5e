"""Whether the tests notice broken code.

Each place of `bench/_mutants.py` is broken in a copy of the checkout, one at a time, and the tests named with it run. A
mutant is killed if a test fails, and survives if all pass. A place that is not found exactly once, or whose tests do
not start, is an error of the list. First all those tests run in the intact copy, where they must pass.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench._mutants import MUTANTS, Mutant
from local.node import node
from local.paths import ROOT, VENV_PYTHON
from tests.support.migrated import KEY_VARIABLE

SHARED = (".venv", "node_modules")
"""Installed folders, which the copy links to."""
LEFT_OUT = (".git", *SHARED)
TIMEOUT_S = 900
PYTEST_FAILED = 1
"""Exit code of pytest if tests ran and some failed."""
FAILED_TEST = re.compile(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)|^\s*not ok \d+ - (.*)", re.MULTILINE)
# Without it each mutant would migrate a database again.
ENVIRONMENT = {**os.environ, KEY_VARIABLE: "mutants"}


def main(names: Sequence[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not names or any(name in mutant.name for name in names)]
    with tempfile.TemporaryDirectory(prefix="heygen-portal-mutants-") as folder:
        copy = Path(folder) / "portal"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=_ignore)
        for name in SHARED:
            (copy / name).symlink_to(ROOT / name)
        began = time.monotonic()
        if failing := failing_when_intact(copy, chosen):
            sys.exit(f"These tests fail although nothing is broken:\n{failing}")
        print(f"All tests pass in the intact copy, {time.monotonic() - began:.0f} s.", flush=True)
        outcomes = {}
        for mutant in chosen:
            began = time.monotonic()
            outcomes[mutant.name], noticed_by = run(copy, mutant)
            seconds = time.monotonic() - began
            print(f"{outcomes[mutant.name]:9} {seconds:4.0f} s  {mutant.name}: {noticed_by}", flush=True)
    killed = list(outcomes.values()).count("killed")
    if survivors := [name for name, outcome in outcomes.items() if outcome != "killed"]:
        print("Not killed:", ", ".join(survivors))
    print(json.dumps({"bench": "mutants", "mutants": len(chosen), "killed": killed}))
    return 0


def _ignore(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in LEFT_OUT] if Path(folder) == ROOT else ["__pycache__"]


def failing_when_intact(copy: Path, mutants: Iterable[Mutant]) -> str:
    """Return the output of the mutants' tests if any fails in the intact copy."""
    scripts = dict.fromkeys(test for mutant in mutants if mutant.is_script for test in mutant.tests)
    modules = dict.fromkeys(test for mutant in mutants if not mutant.is_script for test in mutant.tests)
    for command in (scripts and _node_tests(copy, scripts), modules and _pytest(modules)):
        done = _run(copy, command) if command else None
        if done and done.returncode != 0:
            return done.stdout[-5000:] + done.stderr[-1000:]
    return ""


def run(copy: Path, mutant: Mutant) -> tuple[str, str]:
    """Break the copy, run the tests, and restore it.

    Return killed, survived, or what was wrong; and the test that noticed.
    """
    path = copy / mutant.path
    intact = path.read_text()
    if intact.count(mutant.before) != 1:
        return "not found", ""
    path.write_text(intact.replace(mutant.before, mutant.after))
    try:
        done = _run(copy, _node_tests(copy, mutant.tests) if mutant.is_script else _pytest(mutant.tests))
    except subprocess.TimeoutExpired:
        return "killed", f"no end within {TIMEOUT_S} s"
    finally:
        path.write_text(intact)
    if done.returncode == 0:
        return "survived", ""
    if done.returncode == PYTEST_FAILED:
        found = FAILED_TEST.search(done.stdout)
        return "killed", next(filter(None, found.groups())) if found else ""
    print(done.stdout[-2000:], done.stderr[-1000:], file=sys.stderr)
    return "no tests", ""


def _run(copy: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=copy, env=ENVIRONMENT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def _pytest(tests: Iterable[str]) -> list[str]:
    daily = ["-m", "not proof and not second_database"]
    return [str(VENV_PYTHON), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *daily, *tests]


def _node_tests(copy: Path, patterns: Iterable[str]) -> list[str]:
    files = [str(file) for pattern in patterns for file in sorted(copy.glob(pattern))]
    return [*(node() or ["node"]), "--test", "--test-reporter", "tap", *files]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="parts of names; all by default")
    sys.exit(main(parser.parse_args().names))
