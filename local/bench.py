"""Run a benchmark of `bench/` by name, or list them."""

import os
import sys

from local import setup
from local.paths import ROOT, VENV_PYTHON


def main() -> None:
    known = sorted(path.stem.replace("_", "-") for path in ROOT.glob("bench/*.py") if path.stem[0] != "_")
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in known:
        sys.exit(f"Usage: bin/bench NAME [options]\nBenchmarks: {', '.join(known)}")
    setup.ensure(tests=True)
    os.chdir(ROOT)
    python = str(VENV_PYTHON)
    os.execv(python, [python, "-m", f"bench.{name.replace('-', '_')}", *sys.argv[2:]])
