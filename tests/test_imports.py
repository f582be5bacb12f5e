"""Imports follow the contracts, and production needs no emulator packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_imports_run_one_way_and_the_emulator_knows_nothing_of_the_portal() -> None:
    """The contracts are in pyproject.toml."""
    check = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# Imports all production code while the emulator's packages cannot be found.
WITHOUT_THE_EMULATORS_PACKAGES = """
import importlib.abc, sys
BLOCKED = {"numpy", "pocketsphinx", "espeakng_loader", "trustme", "av"}
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in BLOCKED or name.startswith("livekit.rtc"):
            raise ModuleNotFoundError(f"{name} belongs to the emulator", name=name)
sys.meta_path.insert(0, Missing())
import heygen_portal.asgi, heygen_portal.celery
import pkgutil, importlib
for package in ("heygen_portal", "avatars", "sessions"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if ".emulator" not in module.name and ".migrations" not in module.name:
            importlib.import_module(module.name)
"""


def test_the_portal_runs_without_the_emulators_packages() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EMULATORS_PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_folders_stay_small_and_without_cycles() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.structure"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["fullest_folder"] <= 12, found["cycles"]) == (True, 0), done.stdout
