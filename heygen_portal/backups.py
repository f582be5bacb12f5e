"""Backup and restore of the database, the media files, the keys and the anchors.

A backup is two folders, to be stored apart: `data` has the database and the media files, `keys` what reads and
verifies them. Both have a manifest with the ID of the backup and the SHA-256 of each file. A restore needs these two
folders, an empty database, and no setting except where the database and the anchors file are.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.db import connection
from django.db.backends.postgresql.client import DatabaseClient
from django.utils import timezone

PROGRAM_TIMEOUT_S = 6 * 60 * 60
CONNECT_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 60
DUMP_TRIES = 3  # an anchor is written once a night

DATABASE = {"sqlite": "database.sqlite3", "postgresql": "database.pgdump"}
MEDIA = "media.tar"
ANCHORS = "anchors"
MANIFEST = "manifest.json"
EXPORTS = "exports"  # files of a day with the speech of many people: see docs/maintenance.md
KEYS = ("DJANGO_SECRET_KEY", "FIELD_ENCRYPTION_KEY")


class BackupError(Exception):
    """A backup or restore that cannot be done. The message says what to do."""


def back_up(data: Path, keys: Path) -> str:
    """Write a backup into two new folders and return its ID.

    May run while the portal serves. A failure leaves neither folder.
    """
    if data.resolve() == keys.resolve() or _is_inside(data, keys) or _is_inside(keys, data):
        raise BackupError("Store the keys apart from the data: neither folder may be inside the other.")
    backup_id = str(uuid4())
    with _new_folder(keys) as new_keys, _new_folder(data) as new_data:
        for name, values in _keys_in_use().items():
            if values:
                (new_keys / name).write_text("\n".join(values) + "\n", encoding="utf-8")
        anchors = _dump_with_anchors(new_data / DATABASE[connection.vendor])
        if anchors is not None:
            (new_keys / ANCHORS).write_bytes(anchors)
        _pack_media(new_data / MEDIA)
        for folder in (new_data, new_keys):
            _write_manifest(folder, backup_id)
        os.sync()  # the folders get their names only once their content is on the disk
        if settings.BACKUP_STAMP_FILE:
            Path(settings.BACKUP_STAMP_FILE).touch()  # /health/work reads its age
    return backup_id


def restore(data: Path, keys: Path) -> str:
    """Restore a backup into an empty database and return its ID.

    Everything is checked first and the database is filled last, in one transaction, so that a failed restore can be
    repeated. Keys that no setting provides are stored in `VAR_DIR/keys`.
    """
    if (backup_id := _read_manifest(data)) != _read_manifest(keys):
        raise BackupError(f"{data} and {keys} are of different backups.")
    dump = data / DATABASE[connection.vendor]
    if not dump.exists():
        raise BackupError(f"{data} is not a backup of this kind of database ({connection.vendor}).")
    if connection.introspection.table_names():
        raise BackupError("The database is not empty. Create a new one, and set DATABASE_URL to it.")
    missing_keys = _missing_keys(keys)
    anchors = _anchors_to_write(keys)
    for path, values in missing_keys.items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(path, "\n".join(values).encode() + b"\n")
    if anchors:
        anchors[0].parent.mkdir(parents=True, exist_ok=True)
        _write_private(*anchors)
    _unpack_media(data / MEDIA)
    _load(dump)
    return backup_id


# Database


def _dump_with_anchors(path: Path) -> bytes | None:
    """Dump the database and return the anchors file that belongs to it.

    An anchor written meanwhile would confirm rows that the dump lacks.
    """
    for _ in range(DUMP_TRIES):
        before = _anchors()
        path.unlink(missing_ok=True)
        _dump(path)
        if _anchors() == before:
            return before
    raise BackupError("The anchors file changed during each attempt. Try again.")


def _dump(path: Path) -> None:
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(path)) as copy:
            connection.connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file
    else:
        options = ["--format=custom", "--no-owner", "--no-privileges", f"--lock-wait-timeout={LOCK_TIMEOUT_S}s"]
        _run_postgres("pg_dump", [*options, f"--file={path}"], str(connection.settings_dict["NAME"]))


def _load(path: Path) -> None:
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as copy:
            copy.backup(connection.connection)
    else:
        options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"]
        _run_postgres("pg_restore", [*options, f"--dbname={connection.settings_dict['NAME']}"], str(path))


def _run_postgres(program: str, options: list[str], last: str) -> None:
    """Run a PostgreSQL program on the portal's database.

    The password is passed in its environment.
    """
    args, env = DatabaseClient.settings_to_cmd_args_env(connection.settings_dict | {"NAME": last}, options)
    environment = {**os.environ, "PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT_S), **(env or {})}
    try:
        subprocess.run(
            [program, *args[1:]],
            env=environment,
            check=True,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PROGRAM_TIMEOUT_S,
        )
    except FileNotFoundError as exc:
        raise BackupError(f"{program} is not in PATH. Install PostgreSQL's client programs.") from exc
    except subprocess.TimeoutExpired as exc:
        raise BackupError(f"{program} took longer than {PROGRAM_TIMEOUT_S} s.") from exc
    except subprocess.CalledProcessError as exc:
        raise BackupError(f"{program} failed: {exc.stderr.decode(errors='replace').strip()}") from exc


# Media files


def _pack_media(path: Path) -> None:
    def without_exports(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if Path(member.name).parts[:1] == (EXPORTS,) else member

    with tarfile.open(path, "w", dereference=True) as archive:  # what a link leads to, which another machine lacks
        if settings.MEDIA_ROOT.exists():
            archive.add(settings.MEDIA_ROOT, arcname="", filter=without_exports)


def _unpack_media(path: Path) -> None:
    """Write the files of an archive. Links and names that lead out of the folder are refused.

    Not `extractall`: Python before 3.11.4, which Debian 12 has, would follow them.
    """
    root = settings.MEDIA_ROOT.resolve()
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path) as archive:
        for member in archive:
            target = (root / member.name).resolve()
            if not target.is_relative_to(root) or not (member.isdir() or member.isreg()):
                raise BackupError(f"The backup's media files contain {member.name!r}, which is no file of the folder.")
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            assert content is not None  # a regular file
            with content, target.open("wb") as file:
                shutil.copyfileobj(content, file)
            target.chmod(member.mode & 0o777)


# Keys and anchors


def _keys_in_use() -> dict[str, list[str]]:
    """Return the keys by the name of their file: see `env.stored_secret`."""
    return {
        "django_secret_key": [settings.SECRET_KEY],
        "django_secret_key_fallbacks": settings.SECRET_KEY_FALLBACKS,
        "field_encryption_key": [settings.FIELD_ENCRYPTION_KEY],
        "field_encryption_key_fallbacks": settings.FIELD_ENCRYPTION_KEY_FALLBACKS,
    }


def _missing_keys(folder: Path) -> dict[Path, list[str]]:
    """Return the backup's keys that this portal must store, by file.

    Raises BackupError if this portal uses other keys: it could not read what it restores.
    """
    missing: dict[Path, list[str]] = {}
    in_use = _keys_in_use()
    for name in KEYS:
        files = (name.lower(), f"{name.lower()}_fallbacks")
        wanted = {file: _lines(folder / file) for file in files}
        accepted = [key for file in files for key in in_use[file]]
        if all(key in accepted for keys in wanted.values() for key in keys):
            continue
        if not all(key.startswith("not-secret") for key in accepted):
            raise BackupError(
                f"{name} is not the backup's. Set it, and {name}_FALLBACKS, to the backup's keys, or unset them and"
                " remove their files from VAR_DIR/keys to store the backup's there."
            )
        missing |= {settings.KEYS_FOLDER / file: keys for file, keys in wanted.items() if keys}
    return missing


def _anchors() -> bytes | None:
    path = Path(settings.HISTORY_ANCHOR_FILE)
    return path.read_bytes() if settings.HISTORY_ANCHOR_FILE and path.exists() else None


def _anchors_to_write(folder: Path) -> tuple[Path, bytes] | None:
    """Return the anchors file and its content if it must be written."""
    if not (folder / ANCHORS).exists():
        return None
    if not settings.HISTORY_ANCHOR_FILE:
        raise BackupError("The backup has anchors. Set HISTORY_ANCHOR_FILE to where they shall be.")
    content = (folder / ANCHORS).read_bytes()
    path = Path(settings.HISTORY_ANCHOR_FILE)
    if path.exists() and path.read_bytes() != content:
        raise BackupError(
            f"{path} is not the backup's. Move it away, and keep it: it can show which rows the backup lacks."
        )
    return path, content


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


# Folders


def _is_inside(one: Path, other: Path) -> bool:
    return other.resolve() in one.resolve().parents


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """Yield a private folder that gets its name if the block succeeds."""
    if path.exists():
        raise BackupError(f"{path} exists. Name a new folder for each backup.")
    new = path.with_name(f"{path.name}.partial")
    shutil.rmtree(new, ignore_errors=True)  # of a backup that was interrupted
    new.mkdir(mode=0o700, parents=True)
    try:
        yield new
        new.rename(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _write_manifest(folder: Path, backup_id: str) -> None:
    digests = {file.name: _digest(file) for file in sorted(folder.iterdir())}
    manifest = {"id": backup_id, "at": timezone.now().isoformat(), "sha256": digests}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _read_manifest(folder: Path) -> str:
    """Return the ID of the backup.

    Raises BackupError unless each of its files is as it was written.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        damaged = [name for name, digest in manifest["sha256"].items() if _digest(folder / name) != digest]
        backup_id = str(manifest["id"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise BackupError(f"{folder} is not a complete backup: {exc}") from exc
    if damaged:
        raise BackupError(f"{folder} is damaged: {', '.join(damaged)} changed since the backup.")
    return backup_id


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
