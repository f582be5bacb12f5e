"""A migrated SQLite database that is created once and then copied."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from local import stamps
from local.paths import ROOT, VAR, VENV_PYTHON

FOLDER = VAR / "tests"
CODE = ("avatars", "heygen_portal", "sessions")  # migrations call code of all apps


def copy_to(path: Path) -> None:
    """Copy the database to `path`. It is created again when code or dependencies have changed."""
    code = (file for package in CODE for file in (ROOT / package).rglob("*.py"))
    made = FOLDER / f"{stamps.key_of([*code, ROOT / 'requirements.txt'])}.sqlite3"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # all processes of a run call this at the start
        if not made.exists():
            _make(made)
        shutil.copyfile(made, path)


def _make(made: Path) -> None:
    for old in FOLDER.glob("*.sqlite3"):
        old.unlink()
    with tempfile.TemporaryDirectory(dir=FOLDER) as here:
        new = Path(here) / "new.sqlite3"
        environment = {**os.environ, "VAR_DIR": here, "DATABASE_URL": f"sqlite:///{new}"}
        command = [str(VENV_PYTHON), "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        new.replace(made)
