"""Forged rows whose values have a type or size that no program stores.

Verification names them and continues, so that a check is always stored.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from heygen_portal.trail import audit_log, db_triggers, hash_chain
from heygen_portal.trail.models import AuditEntry
from sessions.integrity import anchors, audit_statements, diagnosis, nightly_check, verification
from sessions.lifecycle import events
from sessions.models import HistoryCheck, SessionEvent
from sessions.retention import erasure
from tests.sessions.tampering import Rows, ended_session, event_row, execute_as_owner, overwrite, rewrite_record
from tests.support.factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("announced")]


def check() -> HistoryCheck:
    return nightly_check.check_record(timezone.now())


def named(result: HistoryCheck) -> set[tuple[str, Any]]:
    return {(fault["table"], fault["number"]) for fault in result.faults}


def overwrite_entry(number: int, data: Any) -> None:
    execute_as_owner("UPDATE heygen_portal_auditentry SET data = %s WHERE number = %s", json.dumps(data), number)


def test_statements_with_invalid_keys_columns_and_values_are_named() -> None:
    user = UserFactory.create()
    for number in range(3):
        audit_log.record_by(user.pk, "192.0.2.7", AuditEntry.Kind.KEY_SET, f"Account {number}")
    statements: tuple[dict[str, Any], ...] = (
        {"user": {"x": {"username": "y"}}},
        {"video": {"x": {"status": "ready"}}},
        {"export": {"x": {"state": []}}},
        {"check": {"9" * 30: {"rows": 1}}},
        {"user": {str(user.pk): {"": 5}}},
    )
    for rows in statements:
        overwrite_entry(2, {"rows": rows})
        found = list(verification.faults())
        assert ("audit_entry", 2) in {(fault.table, fault.number) for fault in found}
        assert "uncompared" not in {fault.kind for fault in found}
    assert ("audit_entry", 2) in named(check())


def test_a_changed_audit_entry_is_named_and_its_statements_are_not_believed() -> None:
    """The rows were changed along with the statements, so that they agree."""
    assert audit_statements.upgrade()
    *changed, whole = [check() for _ in range(3)]
    numbers = set()
    for each in changed:
        entry = AuditEntry.objects.get(
            kind=AuditEntry.Kind.RECORD_CHECKED, about=str(each), data__rows__check__has_key=str(each.pk)
        )
        execute_as_owner("UPDATE avatar_sessions_historycheck SET sessions = 77 WHERE id = %s", each.pk)
        entry.data["rows"]["check"][str(each.pk)]["sessions"] = 77
        overwrite_entry(entry.number, entry.data)
        numbers.add(entry.number)
    found = list(verification.faults())
    assert {fault.number for fault in found if fault.table == "audit_entry"} == numbers
    assert {fault.row for fault in found if fault.table == "check"} == {str(each.pk) for each in changed}
    assert AuditEntry.objects.filter(data__rows__check__has_key=str(whole.pk)).exists()


def test_a_forged_closing_of_an_account_erases_nothing() -> None:
    session = ended_session()
    session.utterances.create(who="user", by="text", text="Hola", source="portal")
    audit_log.record_by(None, None, AuditEntry.Kind.ACCOUNT_CLOSED, UserFactory.create())
    assert len(audit_log.closed_accounts()) == 1
    overwrite_entry(1, {"person": session.user_id})
    execute_as_owner("UPDATE heygen_portal_auditentry SET at = '2999-01-01 00:00:00' WHERE number = 1")
    assert audit_log.closed_accounts() == {session.user_id: None}
    assert erasure.erase_of_closed_accounts() == 0
    assert ("audit_entry", 1) in named(check())


@pytest.mark.parametrize("speech", [[[1]], {"a": 1}, [{}]])
def test_a_proof_that_is_no_text_is_named(speech: Any) -> None:
    session, whole = ended_session(), ended_session()

    def change(rows: Rows) -> Rows:
        rows[3] |= {"kind": "task", "data": {"speech": speech}}
        return rows

    with db_triggers.disabled(connection):
        SessionEvent.objects.filter(session=session, number=4).update(kind="task")
    rewrite_record(session, change)
    found = verification.first_fault_of(session.pk)
    assert found
    assert found.kind != "uncompared"
    assert {fault["session"] for fault in check().faults} == {str(session.pk)}
    assert verification.first_fault_of(whole.pk) is None


@pytest.mark.parametrize("value", ["9999-12-31 23:59:59", "x"])
def test_a_check_that_ended_at_an_impossible_time_hides_nothing(value: str) -> None:
    session = ended_session()
    check()
    execute_as_owner("UPDATE avatar_sessions_historycheck SET ended_at = %s, sessions = sessions + 1", value)
    overwrite(event_row(session, 3), 3, kind="forged")
    result = check()
    assert {("event", 3)} < named(result)
    assert "uncompared" not in {fault["how"] for fault in result.faults}


@pytest.mark.parametrize("data", [[], {"count": "x"}, {"count": -3}, {"count": 10**30}, {}])
def test_a_forged_entry_about_anchors_counts_as_a_lost_file(data: Any, tmp_path: Path, settings: Any) -> None:
    settings.HISTORY_ANCHOR_FILE = str(tmp_path / "anchors")
    ended_session()
    assert anchors.write(timezone.now() + timedelta(hours=1))
    number = AuditEntry.objects.filter(kind=AuditEntry.Kind.ANCHORED).get().number
    overwrite_entry(number, data)
    assert {("anchors_file", None), ("audit_entry", number)} <= named(check())


def test_zeros_do_not_multiply_the_search_for_a_changed_event(monkeypatch: pytest.MonkeyPatch) -> None:
    session = ended_session()
    overwrite(event_row(session, 4), 4, data={"zeros": [0.0] * 6})
    hashed = []

    def digest_of(*values: Any) -> str:
        hashed.append(values)
        return events.digest_of(*values)

    monkeypatch.setattr(diagnosis, "digest_of", digest_of)
    monkeypatch.setattr(hash_chain, "MAX_SEARCH_BYTES", 4_000)  # of one number with its 64 variants
    found = verification.first_fault_of(session.pk)
    assert found
    assert (found.kind, found.number, found.column) == ("changed", 4, "data")
    assert len(hashed) < 64 * 8  # all numbers would need 64 for each of 9, beside those of the diagnosis
    monkeypatch.setattr(hash_chain, "MAX_VARIANT_BYTES", 1_000)
    hashed.clear()
    assert verification.first_fault_of(session.pk) == found
    assert len(hashed) < 64


def test_an_unexpected_exception_is_a_fault_of_its_table_or_session(monkeypatch: pytest.MonkeyPatch) -> None:
    session = ended_session()

    def fail(*values: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(audit_statements._AuditPass, "_compare_table", fail)
    monkeypatch.setattr(verification.SessionPass, "_compare", fail)
    found = check()
    assert {fault["how"] for fault in found.faults} == {"uncompared"}
    assert str(session.pk) in {fault["session"] for fault in found.faults}
    assert {"user", "export", "session"} <= {fault["table"] for fault in found.faults}
