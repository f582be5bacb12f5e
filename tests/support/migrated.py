"""The database as all migrations leave it: an SQLite file that is made once, and then copied."""

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
CODE = ("avatars", "heygen_portal", "sessions")  # migrations call what is elsewhere


def copy_to(path: Path) -> None:
    """Write the file. It is made anew whenever the portal's code, or what that stands on, has changed."""
    code = (file for package in CODE for file in (ROOT / package).rglob("*.py"))
    made = FOLDER / f"{stamps.key_of([*code, ROOT / 'requirements.txt'])}.sqlite3"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the processes of a run all ask at its beginning
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
