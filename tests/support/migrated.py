"""Migrated databases, new or of earlier versions, created once and copied."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
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
    with _made(".sqlite3", _make_sqlite, os.environ.get(KEY_VARIABLE) or _key()) as made:
        shutil.copyfile(made, path)


@contextmanager
def cluster(programs: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yield the data folder of a stopped PostgreSQL cluster, to be copied.

    `make` creates one with these programs.
    """
    with _made(".postgres", make, os.environ.get(KEY_VARIABLE) or _key(str(programs))) as made:
        yield made


@contextmanager
def upgraded(name: str, dump: Path, make: Callable[[Path], None], *more: str) -> Iterator[Path]:
    """Yield a database of an earlier version, migrated to the newest, to be copied.

    `make` creates it from the dump and from what `more` names.
    """
    with _made(f".{name}", make, _key(*more, files=[dump])) as made:
        yield made


@contextmanager
def _made(suffix: str, make: Callable[[Path], None], key: str) -> Iterator[Path]:
    """Yield what `make` creates again whenever the key has changed."""
    made = FOLDER / f"{key}{suffix}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"lock-{suffix[1:]}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # all processes of a run call this at the start
        if not made.exists():
            for old in FOLDER.glob(f"*{suffix}"):  # and what an interrupted run left
                if old.is_dir():
                    shutil.rmtree(old)
                else:
                    old.unlink()
            new = FOLDER / f"new{suffix}"
            make(new)
            new.replace(made)  # an interrupted one is made again
        yield made


def _key(*more: str, files: Sequence[Path] = ()) -> str:
    """Return a key that changes with code and dependencies."""
    code = (file for package in CODE for file in (ROOT / package).rglob("*.py"))
    return stamps.key_of([*code, ROOT / "requirements.txt", *files], *more)


def _make_sqlite(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=FOLDER) as here:
        new = Path(here) / "new.sqlite3"
        environment = {**os.environ, "VAR_DIR": here, "DATABASE_URL": f"sqlite:///{new}"}
        command = [str(VENV_PYTHON), "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        new.replace(path)
