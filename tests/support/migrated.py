"""A migrated SQLite database and PostgreSQL cluster, created once and copied."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local import stamps
from local.paths import ROOT, VAR, VENV_PYTHON

FOLDER = VAR / "tests"
CODE = ("avatars", "heygen_portal", "sessions")  # migrations call code of all apps
KEY_VARIABLE = "MIGRATED_DATABASES_KEY"
"""Environment variable that keeps the databases although code changes, for `bin/bench mutants`."""


def copy_to(path: Path) -> None:
    """Copy the SQLite database to `path`."""
    with _made(".sqlite3", _make_sqlite) as made:
        shutil.copyfile(made, path)


@contextmanager
def cluster(programs: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yield the data folder of a stopped PostgreSQL cluster, to be copied.

    `make` creates one with these programs.
    """
    with _made(".postgres", make, str(programs)) as made:
        yield made


@contextmanager
def _made(suffix: str, make: Callable[[Path], None], *more: str) -> Iterator[Path]:
    """Yield what `make` creates again whenever code or dependencies have changed."""
    made = FOLDER / f"{os.environ.get(KEY_VARIABLE) or _key(*more)}{suffix}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"lock-{suffix[1:]}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # all processes of a run call this at the start
        if not made.exists():
            for old in FOLDER.glob(f"*{suffix}"):
                if old.is_dir():
                    shutil.rmtree(old)
                else:
                    old.unlink()
            new = FOLDER / f"new{suffix}"
            make(new)
            new.replace(made)  # an interrupted one is made again
        yield made


def _key(*more: str) -> str:
    code = (file for package in CODE for file in (ROOT / package).rglob("*.py"))
    return stamps.key_of([*code, ROOT / "requirements.txt"], *more)


def _make_sqlite(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=FOLDER) as here:
        new = Path(here) / "new.sqlite3"
        environment = {**os.environ, "VAR_DIR": here, "DATABASE_URL": f"sqlite:///{new}"}
        command = [str(VENV_PYTHON), "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        new.replace(path)
