"""Stamps of finished steps, keyed by their inputs, so set-up repeats quickly."""

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

from local.paths import ROOT, VAR, write_whole

FOLDER = VAR / "setup"


def key_of(files: Iterable[Path], *more: str) -> str:
    """Return a hash of the files' names and contents and of further strings."""
    digest = hashlib.sha256()
    for part in more:
        digest.update(part.encode() + b"\0")
    for file in sorted(files):
        name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
        digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def is_done(name: str, keys: Collection[str], folder: Path | None = None) -> bool:
    """Whether the step was last finished with one of these keys."""
    try:
        return ((folder or FOLDER) / f"{name}.stamp").read_text() in keys
    except OSError:
        return False


def mark_done(name: str, key: str, folder: Path | None = None) -> None:
    write_whole((folder or FOLDER) / f"{name}.stamp", key.encode())


def forget(name: str, folder: Path | None = None) -> None:
    """Delete a stamp.

    Call before the work, so that an interrupted step counts as not done.
    """
    ((folder or FOLDER) / f"{name}.stamp").unlink(missing_ok=True)
