"""Collects the static files into var/static, hashed and compressed.

Writes only changed files.
"""

from pathlib import Path

from local import stamps
from local.console import Progress, run
from local.paths import ROOT, VENV_PYTHON

FOLDERS = ("static", "avatars/static", "sessions/static")
FOLDER = ROOT / "var" / "static"
HINT = "The message above names the file. Correct it, then run this again."


def _sources() -> list[Path]:
    ours = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    # The theme's files change with its package, and names with the storage.
    others = (ROOT / "requirements.txt", ROOT / "heygen_portal" / "runtime" / "static_files.py")
    return [*(path for path in ours if path.is_file()), *others]


def _key() -> str:
    return stamps.key_of(_sources())


def is_done() -> bool:
    return (FOLDER / "staticfiles.json").exists() and stamps.is_done("statics", {_key()})


def install(progress: Progress) -> None:
    key = _key()
    # Delete nothing: a running portal still serves files that its open pages reference.
    run(progress, [VENV_PYTHON, "manage.py", "collectstatic", "--no-input", "-v0"], "statics", hint=HINT)
    stamps.mark_done("statics", key)
