"""Backup and restore with only the two folders and an empty database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from heygen_portal import backups
from local import postgres as postgres_programs
from sessions.actions import stop
from sessions.integrity import anchors
from sessions.lifecycle import events, transitions
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, SessionSeal, StreamingSession
from tests.sessions.actions.test_failing_provider import at
from tests.sessions.tampering import ended_session
from tests.support import derived_keys, on_postgres, servers
from tests.support.console import Console, console
from tests.support.databases import BOTH
from tests.support.factories import PersonaFactory, StreamingSessionFactory

pytestmark = pytest.mark.django_db(transaction=True)

RETIRED_KEY = "a-retired-key-that-sealed-the-first-session-of-all"
KEY = "the-key-in-use-at-the-time-of-the-backup-0123456789"
LIST_SESSIONS = """
from sessions.models import StreamingSession
for row in StreamingSession.objects.order_by("created_at"):
    print(row.status, row.end_reason, row.account.api_key)
"""
RECONCILE = """
from asgiref.sync import async_to_sync
from avatars.models import ProviderAccount
from heygen_portal import providers
from sessions.actions import stop

async def reconcile(account):
    async with providers.closing_providers():
        await stop.reconcile(account)

for account in ProviderAccount.objects.filter(base_url__startswith="http://"):
    async_to_sync(reconcile)(account)
"""


@pytest.fixture(autouse=True)
def client_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    if programs := postgres_programs.folder():
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


@pytest.fixture
def portal(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """Set this portal's own keys, anchors file and media folder. Return the last."""
    settings.SECRET_KEY = "a-secret-key-that-encrypts-the-keys-of-providers-01"
    settings.FIELD_ENCRYPTION_KEY = settings.SALT_KEY = RETIRED_KEY
    settings.HISTORY_ANCHOR_FILE = str(tmp_path / "portal" / "anchors")
    media: Path = settings.MEDIA_ROOT
    for name in ("previews/lucia.webp", "exports/speech.csv"):
        (media / name).parent.mkdir(parents=True)
        (media / name).write_text(name)
    derived_keys.forget()
    yield media
    derived_keys.forget()


@pytest.fixture
def folders(tmp_path: Path, portal: Path) -> tuple[Path, Path]:
    """Return the two folders of a backup of an empty portal."""
    return back_up(tmp_path)


def back_up(where: Path) -> tuple[Path, Path]:
    folders = where / "backups" / "data", where / "vault" / "keys"
    call_command("backup", *map(str, folders), stdout=StringIO())
    return folders


@contextmanager
def empty_database(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of an empty database of the kind in use."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path}/restored.sqlite3"
        return
    database = connection.settings_dict
    server = f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}"
    with closing(psycopg.connect(f"{server}/template1", autocommit=True)) as admin:
        admin.execute("CREATE DATABASE restored TEMPLATE template0")
        try:
            yield f"{server}/restored"
        finally:
            admin.execute("DROP DATABASE restored WITH (FORCE)")


@contextmanager
def new_portal(tmp_path: Path, url: str, **more: str) -> Iterator[Console]:
    """Run commands with the settings of a new machine."""
    var = tmp_path / "new"
    var.mkdir(exist_ok=True)
    settings = {"VAR_DIR": str(var), "DATABASE_URL": url, "HISTORY_ANCHOR_FILE": str(var / "safe" / "anchors")}
    with console(settings | more, tmp_path / "log") as commands:
        yield commands


@pytest.mark.parametrize("database", BOTH)
def test_a_restored_portal_has_everything_and_ends_sessions_that_were_open(
    database: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    settings: Any,
    redis_url: str,
    fresh_emulator: servers.Emulator,
) -> None:
    if database == "postgres":
        request.getfixturevalue("postgres")
    request.getfixturevalue("portal")
    ended_session()
    settings.FIELD_ENCRYPTION_KEY = KEY
    settings.FIELD_ENCRYPTION_KEY_FALLBACKS = [RETIRED_KEY]
    settings.SALT_KEY = [KEY, RETIRED_KEY]
    derived_keys.forget()
    session = open_session(fresh_emulator)
    assert anchors.write(timezone.now() + anchors.SEAL_SETTLING_TIME)
    data, keys = back_up(tmp_path)
    with empty_database(tmp_path) as url:
        with new_portal(tmp_path, url) as commands:
            commands.run("restore", str(data), str(keys))
        with new_portal(tmp_path, url, REDIS_URL=redis_url) as commands:  # reads the restored keys
            commands.run("migrate", "--verbosity", "0")
            verified = commands.run("verify_history")
            assert "2 sessions" in verified
            assert "1 anchors" in verified
            assert verified.endswith("No faults found.\n")
            assert f"live  {fresh_emulator.api_key}" in commands.run("shell", "-c", LIST_SESSIONS)
            commands.run("shell", "-c", RECONCILE)
            now = commands.run("shell", "-c", LIST_SESSIONS).splitlines()
            assert f"ended {EndReason.PROVIDER_ENDED} {fresh_emulator.api_key}" in now
            assert commands.run("verify_history").endswith("No faults found.\n")
    assert StreamingSession.objects.get(pk=session.pk).end_reason == ""  # the old database is as it was
    media = tmp_path / "new" / "media"
    assert [path.name for path in media.rglob("*") if path.is_file()] == ["lucia.webp"]


def open_session(emulator: servers.Emulator) -> StreamingSession:
    """Return a live session that the provider will no longer list."""
    session: StreamingSession = StreamingSessionFactory.create(
        persona=PersonaFactory.create(published=True, **at(emulator, is_exclusive=False)),
        created_at=timezone.now() - 2 * stop.LISTING_DELAY,
    )
    session.deadline_at = transitions.next_check_at(session, is_live=True)
    session.save(update_fields=["deadline_at"])
    events.record(session.pk, Entry("thing"))
    return session


def test_keys_and_anchors_are_apart_from_the_data(folders: tuple[Path, Path], settings: Any) -> None:
    data, keys = folders
    assert sorted(path.name for path in data.iterdir()) == ["database.sqlite3", "manifest.json", "media.tar"]
    assert sorted(path.name for path in keys.iterdir()) == [
        "django_secret_key",
        "field_encryption_key",
        "manifest.json",
    ]
    contents = b"".join(path.read_bytes() for path in data.iterdir())
    assert settings.SECRET_KEY.encode() not in contents
    assert settings.FIELD_ENCRYPTION_KEY.encode() not in contents
    assert {path.stat().st_mode & 0o077 for path in folders} == {0}
    with pytest.raises(CommandError, match="apart"):
        call_command("backup", str(data / "new"), str(data / "new" / "keys"))


def test_only_a_complete_backup_renews_the_file_that_monitors_read(
    tmp_path: Path, portal: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = tmp_path / "last-backup"
    settings.BACKUP_STAMP_FILE = str(stamp)
    monkeypatch.setattr(backups, "_pack_media", Mock(side_effect=OSError("disk full")))
    with pytest.raises(CommandError, match="disk full"):
        back_up(tmp_path)
    assert not stamp.exists()
    monkeypatch.undo()
    back_up(tmp_path)
    assert stamp.exists()


def test_a_backup_replaces_no_other(folders: tuple[Path, Path]) -> None:
    before = folders[1].stat()
    with pytest.raises(CommandError, match="exists"):
        call_command("backup", str(folders[0]), str(folders[1].with_name("new")))
    assert folders[1].stat() == before
    assert list(folders[1].parent.iterdir()) == [folders[1]]  # nothing is left of the failed one


def test_an_anchor_written_during_the_dump_is_not_in_the_backup_without_its_rows(
    tmp_path: Path, portal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump, dumps = backups._dump, []

    def dump_meanwhile(path: Path) -> None:
        dump(path)
        dumps.append(path)
        if len(dumps) == 1:
            ended_session()
            assert anchors.write(timezone.now() + anchors.SEAL_SETTLING_TIME)

    monkeypatch.setattr(backups, "_dump", dump_meanwhile)
    data, keys = back_up(tmp_path)
    with closing(sqlite3.connect(data / "database.sqlite3")) as copy:
        table = SessionSeal._meta.db_table
        assert copy.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)
    assert len((keys / "anchors").read_text().splitlines()) == 1


def test_a_restore_refuses_what_it_cannot_do_completely(
    folders: tuple[Path, Path], tmp_path: Path, settings: Any
) -> None:
    data, keys = folders
    other = back_up(tmp_path / "other")
    damaged = tmp_path / "damaged"
    shutil.copytree(data, damaged)
    with (damaged / "database.sqlite3").open("ab") as file:
        file.truncate(4096)
    with empty_database(tmp_path) as url, on_postgres.as_default(url):
        assert_refused(keys, data, "is not a backup of this kind of database")
        assert_refused(data, other[1], "of different backups")
        assert_refused(damaged, keys, "database.sqlite3 changed since the backup")
        (damaged / "database.sqlite3").unlink()
        assert_refused(damaged, keys, "is not a complete backup")
        settings.FIELD_ENCRYPTION_KEY = KEY
        assert_refused(data, keys, "FIELD_ENCRYPTION_KEY is not the backup's")
        settings.FIELD_ENCRYPTION_KEY_FALLBACKS = [RETIRED_KEY]  # the backup's key
        assert connection.introspection.table_names() == []
        call_command("restore", str(data), str(keys), stdout=StringIO())
        assert_refused(data, keys, "The database is not empty")


def test_media_files_behind_links_are_restored(portal: Path, tmp_path: Path, settings: Any) -> None:
    elsewhere = tmp_path / "another-disk.mp4"
    elsewhere.write_text("a video")
    (portal / "videos").mkdir()
    (portal / "videos" / "1.mp4").symlink_to(elsewhere)
    data, keys = back_up(tmp_path)
    elsewhere.unlink()
    settings.MEDIA_ROOT = tmp_path / "restored-media"
    with empty_database(tmp_path) as url, on_postgres.as_default(url):
        call_command("restore", str(data), str(keys), stdout=StringIO())
    assert (settings.MEDIA_ROOT / "videos" / "1.mp4").read_text() == "a video"


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE])
def test_media_files_outside_the_folder_are_refused(kind: bytes, tmp_path: Path, settings: Any) -> None:
    archive = tmp_path / "media.tar"
    with tarfile.open(archive, "w") as made:
        member = tarfile.TarInfo("../secrets" if kind == tarfile.REGTYPE else "link")
        member.type, member.linkname = kind, "/etc"
        made.addfile(member)
    settings.MEDIA_ROOT = tmp_path / "media"
    with pytest.raises(backups.BackupError, match="no file of the folder"):
        backups._unpack_media(archive)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["media", "media.tar"]


def test_a_restore_keeps_an_anchors_file_that_knows_more(tmp_path: Path, portal: Path, settings: Any) -> None:
    ended_session()
    assert anchors.write(timezone.now() + anchors.SEAL_SETTLING_TIME)
    data, keys = back_up(tmp_path)
    newer = Path(settings.HISTORY_ANCHOR_FILE)
    newer.write_bytes(newer.read_bytes() + b"{}\n")
    with empty_database(tmp_path) as url, on_postgres.as_default(url):
        assert_refused(data, keys, "Move it away, and keep it")
        assert newer.read_bytes().endswith(b"{}\n")
        settings.HISTORY_ANCHOR_FILE = ""
        assert_refused(data, keys, "Set HISTORY_ANCHOR_FILE")


def assert_refused(data: Path, keys: Path, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        call_command("restore", str(data), str(keys))
