"""Runs a benchmark of `bench/` by its name, or lists them."""

import os
import sys

from local import setup
from local.paths import ROOT, VENV_PYTHON


def main() -> None:
    known = {path.stem.replace("_", "-"): path for path in sorted(ROOT.glob("bench/*.py")) if path.stem[0] != "_"}
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in known:
        sys.exit(f"Usage: bin/bench NAME [options]\nBenchmarks: {', '.join(known)}")
    setup.ensure(tests=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    os.chdir(ROOT)
    os.execve(VENV_PYTHON, [str(VENV_PYTHON), str(known[name]), *sys.argv[2:]], env)
