"""Rows that belong to no session, compared with the audit log."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from heygen_portal.trail import audit_log, db_triggers
from heygen_portal.trail.models import AuditEntry
from sessions.exports import list_export
from sessions.integrity import audit_statements, verification
from sessions.models import Export, HistoryCheck
from tests.sessions.tampering import ended_session
from tests.support.factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("announced")]


def list_of_events() -> Export:
    filters = {"status__exact": "ended"}
    export = list_export.request_export(
        UserFactory.create().pk, "192.0.2.7", Export.What.EVENTS, Export.Format.CSV, filters=filters
    )
    assert b"".join(list_export.stream(export))
    return export


def test_added_checks_are_reported_up_to_a_maximum() -> None:
    assert audit_statements.upgrade()
    HistoryCheck.objects.bulk_create(HistoryCheck(fault_count=0) for _ in range(25))
    found = list(verification.faults())
    assert {(fault.kind, fault.table) for fault in found} == {("row_added", "check")}
    assert len(found) == 20


def test_a_list_export_moved_to_a_session_is_named() -> None:
    export, session = list_of_events(), ended_session()
    with db_triggers.disabled(connection):
        Export.objects.filter(pk=export.pk).update(session=session, what=Export.What.RECORD)
    found = {(fault.kind, fault.row, fault.column) for fault in verification.faults() if not fault.session}
    assert found == {("row_changed", export.pk.hex, "session")}


def test_an_export_in_an_entry_of_an_earlier_version_is_compared_with_its_row() -> None:
    """The entry named a few columns and no rows."""
    export = list_of_events()
    for filters in ({"status__exact": "ended"}, {"status__exact": "live"}):
        data = {"what": "events", "format": "csv", "reason": "", "filters": filters}
        audit_log.record_by(export.asked_by_id, "192.0.2.7", AuditEntry.Kind.EXPORTED, export.pk, **data)
        found = [(fault.table, fault.column) for fault in verification.faults()]
        assert found == ([] if filters == export.filters else [("export", "filters")])
    without_filters = {"what": "events", "format": "json"}
    audit_log.record_by(export.asked_by_id, "192.0.2.7", AuditEntry.Kind.EXPORTED, export.pk, **without_filters)
    assert {fault.column for fault in verification.faults()} == {"filters", "format"}


def test_statements_about_unknown_tables_are_ignored() -> None:
    """A later version may state tables that this one does not know."""
    rows = {"no_such_table": {"1": {"name": "x"}}}
    audit_log.record_by(None, None, AuditEntry.Kind.KEY_SET, "Ours", rows=rows)
    assert list(verification.faults()) == []


def test_a_row_that_never_was_cannot_be_accepted() -> None:
    for row in ("123456", "no ID"):
        with pytest.raises(CommandError, match=f"no account {row}"):
            call_command("accept_row", "account", row)
    assert not AuditEntry.objects.filter(kind=AuditEntry.Kind.ROWS_ACCEPTED).exists()


def test_an_upgrade_leaves_rows_alone_after_tampering() -> None:
    export = list_of_events()
    with db_triggers.disabled(connection):
        Export.objects.filter(pk=export.pk).update(reason="Theirs")
    entries = AuditEntry.objects.count()
    assert not audit_statements.upgrade()
    assert AuditEntry.objects.count() == entries
    with pytest.raises(CommandError, match="was changed after it was recorded"):
        call_command("upgrade_record")
