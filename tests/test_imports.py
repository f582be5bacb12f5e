from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_imports_run_one_way_and_the_emulator_knows_nothing_of_the_portal() -> None:
    """The contracts stand in pyproject.toml."""
    check = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
