"""Whether the tests notice broken code.

Each place of `bench/_mutants.py` is broken in a copy of the checkout, one at a time, and the tests named with it run. A
mutant is killed if a test fails, and survives if all pass. A place that is not found exactly once, or whose tests do
not start, is an error of the list.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench._mutants import MUTANTS, Mutant
from local.node import node
from local.paths import ROOT, VENV_PYTHON

SHARED = (".venv", "node_modules")
"""Installed folders, which the copy links to."""
LEFT_OUT = (".git", *SHARED)
TIMEOUT_S = 900
PYTEST_FAILED = 1
"""Exit code of pytest if tests ran and some failed."""


def main(names: Sequence[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not names or any(name in mutant.name for name in names)]
    with tempfile.TemporaryDirectory(prefix="heygen-portal-mutants-") as folder:
        copy = Path(folder) / "portal"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=_ignore)
        for name in SHARED:
            (copy / name).symlink_to(ROOT / name)
        outcomes = {}
        for mutant in chosen:
            outcomes[mutant.name] = outcome = run(copy, mutant)
            print(f"{outcome:9} {mutant.name}", flush=True)
    killed = list(outcomes.values()).count("killed")
    if survivors := [name for name, outcome in outcomes.items() if outcome != "killed"]:
        print("Not killed:", ", ".join(survivors))
    print(json.dumps({"bench": "mutants", "mutants": len(chosen), "killed": killed}))
    return 0


def _ignore(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name in LEFT_OUT] if Path(folder) == ROOT else ["__pycache__"]


def run(copy: Path, mutant: Mutant) -> str:
    """Break the copy, run the tests, and restore it.

    Return killed, survived, or what was wrong.
    """
    path = copy / mutant.path
    intact = path.read_text()
    if intact.count(mutant.before) != 1:
        return "not found"
    path.write_text(intact.replace(mutant.before, mutant.after))
    try:
        is_script = path.suffix == ".js"
        done = subprocess.run(
            _node_tests(copy, mutant) if is_script else _pytest(mutant),
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "killed"  # a loop without end
    finally:
        path.write_text(intact)
    if done.returncode == 0:
        return "survived"
    if done.returncode == PYTEST_FAILED:
        return "killed"
    print(done.stdout[-2000:], done.stderr[-1000:], file=sys.stderr)
    return "no tests"


def _pytest(mutant: Mutant) -> list[str]:
    return [str(VENV_PYTHON), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests]


def _node_tests(copy: Path, mutant: Mutant) -> list[str]:
    files = [str(file) for pattern in mutant.tests for file in sorted(copy.glob(pattern))]
    return [*(node() or ["node"]), "--test", *files]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="parts of names; all by default")
    sys.exit(main(parser.parse_args().names))
