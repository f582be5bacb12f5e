"""Rows in a new portal that pretend to predate an upgrade."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.utils import timezone

from heygen_portal.trail import audit_log, signing
from heygen_portal.trail.models import AuditEntry
from sessions.exports import list_export
from sessions.integrity import nightly_check, record_upgrade, verification
from sessions.models import Export, HistoryCheck
from tests.support import migrated, older_portal
from tests.support.factories import UserFactory


def found() -> set[tuple[str, str]]:
    return {(fault.kind, fault.table) for fault in verification.faults()}


def test_migrations_mark_a_database_as_new(tmp_path: Path) -> None:
    migrated.copy_to(tmp_path / "new.sqlite3")
    with closing(sqlite3.connect(tmp_path / "new.sqlite3")) as database:
        ((number, signature),) = database.execute("SELECT number, signature FROM heygen_portal_audithead")
    assert number == 0
    assert signing.is_signed(signature, *audit_log.NEW_LOG)


@pytest.fixture
def new_portal(transactional_db: None) -> None:
    audit_log.lock_head()
    older_portal.sign_head_as_before(audit_log.NEW_LOG)


@pytest.mark.parametrize("is_first", [True, False])
def test_an_unstated_check_or_export_is_found(new_portal: None, is_first: bool) -> None:
    person = UserFactory.create()
    if not is_first:
        list_export.request_export(person.pk, None, Export.What.EVENTS, "csv")
    HistoryCheck.objects.create(started_at=timezone.now(), ended_at=timezone.now())
    Export.objects.create(asked_by=person, what="events", format="csv", state="sent")
    if is_first:
        audit_log.record(None, AuditEntry.Kind.ACCESS_CHANGED, person)
    assert found() == {("row_added", "check"), ("row_added", "export")}
    record_upgrade.upgrade()
    assert found() == {("row_added", "check"), ("row_added", "export")}


def test_rows_stored_by_the_portal_verify(new_portal: None) -> None:
    assert found() == set()
    list_export.request_export(UserFactory.create().pk, None, Export.What.EVENTS, "csv")
    nightly_check.check_record(timezone.now())
    assert found() == set()


def test_a_mark_signed_elsewhere_is_ignored(new_portal: None) -> None:
    older_portal.sign_head_as_before(("audit of a new portal", 0, "x"))
    entry = audit_log.record(None, AuditEntry.Kind.ACCESS_CHANGED, UserFactory.create())
    assert audit_log.IS_COMPLETE not in entry.data
