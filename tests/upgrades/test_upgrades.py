"""Databases of earlier versions are upgraded, read and verified."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from avatars.models import Persona, ProviderAccount
from heygen_portal.models import Organisation
from heygen_portal.trail.models import AuditEntry
from local import postgres
from sessions.integrity import scope, verification
from sessions.models import (
    DayTotal,
    Erasure,
    Export,
    LegalHold,
    QueueEntry,
    Quota,
    SessionEvent,
    SessionSeal,
    SessionTask,
    StreamingSession,
    Utterance,
)
from tests.support import migrated, on_postgres, servers
from tests.support.databases import BOTH

HERE = Path(__file__).parent
LINES = [
    ("user", "text", "portal", "¿Cuánto cuesta la entrada?"),
    ("avatar", "voice", "browser", "Son 20 € 🙂"),
    ("user", "voice", "browser", "Gracias, adiós."),
    ("user", "text", "portal", "Esto no llega."),
]


def dump(name: str) -> str:
    return gzip.decompress((HERE / name).read_bytes()).decode()


KEY = "a-key-for-the-dumps-and-for-nothing-else"


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Path:
    """Return the earlier version's SQLite database, migrated to the newest."""
    copy = tmp_path_factory.mktemp("yesterday") / "migrated.sqlite3"

    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.executescript(dump("sqlite.sql.gz"))
        with django_db_blocker.unblock(), override_settings(FIELD_ENCRYPTION_KEY=KEY):
            on_postgres.migrate(f"sqlite:///{path}")

    with migrated.upgraded("upgraded-sqlite", HERE / "sqlite.sql.gz", make) as made:
        shutil.copyfile(made, copy)
    return copy


@pytest.fixture(scope="module")
def postgres_template(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Run a PostgreSQL server with the same as a template database. Yield its URL."""

    def make(folder: Path) -> None:
        with servers.postgres(keep=folder) as server_url:
            with psycopg.connect(server_url, autocommit=True) as server:
                server.execute("CREATE DATABASE migrated")
            url = f"{server_url.rpartition('/')[0]}/migrated"
            with psycopg.connect(url) as database:
                database.execute(dump("postgres.sql.gz"))
            with django_db_blocker.unblock(), override_settings(FIELD_ENCRYPTION_KEY=KEY):
                on_postgres.migrate(url)

    with ExitStack() as stack:
        dumped = HERE / "postgres.sql.gz"
        with migrated.upgraded("upgraded-postgres", dumped, make, str(postgres.folder())) as made:
            url = stack.enter_context(servers.postgres(cluster=made))
        yield url


def copied_file(sqlite_file: Path, tmp_path: Path) -> str:
    path = tmp_path / "yesterday.sqlite3"
    shutil.copyfile(sqlite_file, path)
    return f"sqlite:///{path}"


def copied_database(server_url: str) -> str:
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS yesterday")
        server.execute("CREATE DATABASE yesterday TEMPLATE migrated")
    return f"{server_url.rpartition('/')[0]}/yesterday"


@pytest.fixture(autouse=True, params=BOTH)
def yesterday(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    django_db_setup: None,  # before the key changes: it signs the database of the other tests in this process
    settings: Any,
    announced: object,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[None]:
    """Use a database of the earlier version, migrated to the newest."""
    settings.FIELD_ENCRYPTION_KEY = KEY
    if request.param == "postgres":
        url = copied_database(request.getfixturevalue("postgres_template"))
    else:
        url = copied_file(request.getfixturevalue("sqlite_file"), tmp_path)
    with django_db_blocker.unblock(), on_postgres.as_default(url):
        yield


def session_with(**found: Any) -> StreamingSession:
    return StreamingSession.objects.get(**found)


def test_the_record_of_an_earlier_version_verifies() -> None:
    before = (SessionEvent.objects.count(), SessionSeal.objects.count())
    count = scope.CheckCounts()
    assert list(verification.faults(count)) == []
    assert (count.sessions, count.events, count.entries) == (7, 93, 3)
    assert before == (93, 13)


def test_texts_of_an_earlier_version_are_readable_and_erased_ones_stay_erased() -> None:
    erased = session_with(erasure__isnull=False)
    for session in StreamingSession.objects.filter(user__username__in=("person-0", "person-6")):
        lines = Utterance.objects.filter(session=session).order_by("pk")
        assert [(line.who, line.by, line.source, line.text) for line in lines] == LINES
        assert [task.status for task in SessionTask.objects.filter(session=session)] == ["sent", "failed"]
    theirs = Utterance.objects.filter(source="provider").get()
    assert theirs.text == "Una línea más."
    assert {line.text for line in Utterance.objects.filter(session=erased)} == {""}


def test_the_receipt_of_an_earlier_erasure_still_matches_its_texts() -> None:
    receipt = Erasure.objects.get()
    lines = Utterance._base_manager.filter(session=receipt.session_id).order_by("pk")
    sent = SessionTask._base_manager.filter(session=receipt.session_id).order_by("pk")
    prints = [hashlib.sha256(bytes(row.sealed)).digest() for row in (*lines, *sent)]
    assert receipt.hash == hashlib.sha256(b"".join(prints)).hexdigest()


def test_exports_holds_and_totals_of_an_earlier_version_are_kept() -> None:
    assert set(Export.objects.values_list("what", "state")) == {("record", "sent"), ("sessions", "sent")}
    assert AuditEntry.objects.filter(kind="exported").count() == 1
    assert sorted(hold.released_at is None for hold in LegalHold.objects.all()) == [False, True]
    assert sum(day.sessions for day in DayTotal.objects.all()) == 6


def test_accounts_personas_and_staff_of_an_earlier_version_belong_to_the_default_organisation() -> None:
    organisation = Organisation.objects.get()
    assert set(Persona.objects.values_list("organisation", flat=True)) == {organisation.pk}
    assert set(ProviderAccount.objects.values_list("organisation", flat=True)) == {organisation.pk}
    assert [membership.user.username for membership in organisation.memberships.all()] == ["auditor"]
    assert Organisation.objects.create(name="Another").pk > organisation.pk


def test_an_upgrade_keeps_stored_permissions_of_renamed_models() -> None:
    stored = Permission.objects.filter(codename__in=("view_queueplace", "delete_allowance"))
    assert {(each.codename, each.content_type.model_class()) for each in stored} == {
        ("view_queueplace", QueueEntry),
        ("delete_allowance", Quota),
    }
    administrators = Group.objects.get(name="Administrators")
    assert set(stored) <= set(administrators.permissions.all())
    assert len(stored) == 2


@pytest.mark.both_databases
def test_an_upgrade_covers_earlier_rows_and_verification_reports_since_when() -> None:
    count = scope.CheckCounts()
    assert list(verification.faults(count)) == []
    assert count.older == 7
    hashes = list(SessionEvent.objects.order_by("pk").values_list("hash", flat=True))
    call_command("upgrade_record")
    count = scope.CheckCounts()
    assert list(verification.faults(count)) == []
    assert count.older == 0
    assert set(count.covered()["since"]) >= {"session.user", "line.who", "task.status", "total.estimated", "hold.at"}
    assert list(SessionEvent.objects.order_by("pk").values_list("hash", flat=True))[: len(hashes)] == hashes
    call_command("upgrade_record")  # nothing is left
    Utterance._base_manager.filter(source="provider").update(who="user")
    StreamingSession.objects.filter(status="live").update(room="theirs")
    assert {(fault.table, fault.column) for fault in verification.faults()} == {("line", "who"), ("session", "room")}


def test_an_upgrade_does_not_touch_a_damaged_record() -> None:
    line = Utterance._base_manager.filter(source="provider").get()
    line.sealed = b"other"
    Utterance._base_manager.bulk_update([line], ["sealed"])
    with pytest.raises(CommandError, match=str(line.session_id)):
        call_command("upgrade_record")
    assert [fault.session for fault in verification.faults()] == [str(line.session_id)]
