"""Runs a benchmark of `bench/` by its name, or lists them."""

import os
import sys

from local import setup
from local.paths import ROOT, VENV_PYTHON


def main() -> None:
    # A trailing underscore is not part of the name: `limits_.py` must not hide the library `limits`.
    files = [path for path in sorted(ROOT.glob("bench/*.py")) if path.stem[0] != "_"]
    known = {path.stem.rstrip("_").replace("_", "-"): path for path in files}
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in known:
        sys.exit(f"Usage: bin/bench NAME [options]\nBenchmarks: {', '.join(known)}")
    setup.ensure(tests=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    os.chdir(ROOT)
    os.execve(VENV_PYTHON, [str(VENV_PYTHON), str(known[name]), *sys.argv[2:]], env)
