"""Run a command of `local/` with a recent Python.

Old versions must be able to parse this file.
"""

import importlib
import os
import shutil
import sys

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(module: str, function: str = "main") -> None:
    if sys.version_info < OLDEST:
        for minor in range(20, OLDEST[1] - 1, -1):
            newer = shutil.which(f"python3.{minor}")
            if newer:
                os.execv(newer, [newer, *sys.argv])
        version = sys.version.split()[0]
        sys.exit(
            f"The portal needs Python 3.{OLDEST[1]} or newer, and this is {version} ({sys.executable}).\n"
            f"Install it so that `python3` or `python3.{OLDEST[1]}` is on PATH, then run this again."
        )
    sys.path.insert(0, ROOT)
    getattr(importlib.import_module("local." + module), function)()
