"""Values that a database or clock cannot hold.

They are refused on arrival, and tolerated where already stored.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.errors import BadMessage
from sessions.integrity import verification
from sessions.lifecycle import events
from sessions.lifecycle.events import Entry
from sessions.models import SessionEvent, SessionHead, StreamingSession
from sessions.timeline import page_clock
from sessions.web import incoming
from tests.sessions import reports
from tests.sessions.tampering import execute_as_owner, running_session
from tests.support.databases import BOTH
from tests.support.factories import StreamingSessionFactory


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None, announced: object) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


def report(session: StreamingSession, data: dict[str, Any], at: Any = None) -> None:
    message = {"kind": "way", "data": data, "at": at, "sent": at}
    asyncio.run(reports.handle(session.pk, message, page_clock.PageClock()))


@pytest.mark.both_databases
@pytest.mark.parametrize("value", [-0.0, 1e308, 5e-324, 2**53, 10**400, -(10**16), 1e-7, 123456789012345.0, "\ufffd"])
def test_numbers_that_a_database_alters_still_verify(value: Any) -> None:
    session = StreamingSessionFactory.create(deadline_at=timezone.now())
    report(session, {"round_trip_ms": value})
    assert list(verification.faults()) == []


@pytest.mark.both_databases
@pytest.mark.parametrize(
    "data", [{"x": {"deep": [-0.0, 1e20]}}, {"x": float("nan")}, {"x": "half \ud800"}, {"x": "a\0b"}]
)
def test_data_that_a_database_cannot_return_still_verifies(data: dict[str, Any]) -> None:
    session = StreamingSessionFactory.create(deadline_at=timezone.now())
    events.record(session.pk, Entry("thing", data))
    assert list(verification.faults()) == []


def test_an_older_event_whose_negative_zero_lost_its_sign_verifies() -> None:
    session = StreamingSessionFactory.create(deadline_at=timezone.now())
    row = SessionEvent(session=session, number=1, source="browser", kind="thing", data={"x": -0.0, "y": 0.0})
    row.hash = events.digest(row)
    row.data = {"x": 0.0, "y": 0.0}  # as PostgreSQL returns it
    row.save()
    SessionHead.of(row).save()
    assert list(verification.faults()) == []


@pytest.mark.parametrize("text", ['{"x": NaN}', '{"x": "\\ud800"}', "[" * 10_000, '{"x": ' + "9" * 5000 + "}"])
def test_an_invalid_message_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        incoming.check_storable(incoming.parse(text))


@pytest.mark.parametrize("kind", [None, [], {}, 5, True, -0.0, ["first_frame"], {"rated": 1}, "no such kind", ""])
def test_a_report_of_an_unknown_kind_is_refused(kind: Any) -> None:
    session = StreamingSessionFactory.create(deadline_at=timezone.now())
    with pytest.raises(BadMessage):
        asyncio.run(reports.handle(session.pk, {"kind": kind, "data": {}}, page_clock.PageClock()))
    assert not SessionEvent.objects.exists()


@pytest.mark.parametrize("at", [-62135596800000, 253402300799000, 1e300, -1e300, "x", True])
def test_an_impossible_page_clock_is_not_stored(at: Any) -> None:
    session = StreamingSessionFactory.create(deadline_at=timezone.now())
    report(session, {"page_at": "x"}, at)
    event = SessionEvent.objects.get()
    assert "page_at" not in event.data
    assert abs((event.at - timezone.now()).total_seconds()) < 60


@pytest.mark.parametrize(
    "stored", ["x", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00", "2026-01-01T00:00:00", 5, None, {"a": 1}]
)
def test_the_auditors_page_tolerates_stored_impossible_times(stored: Any, admin_client: Client, settings: Any) -> None:
    settings.TIME_ZONE = "Pacific/Auckland"
    session = StreamingSessionFactory.create(deadline_at=timezone.now())
    events.record(session.pk, Entry("connection_state", {"page_at": stored}, events.Source.BROWSER))
    page = admin_client.get(f"/admin/avatar_sessions/streamingsession/{session.pk}/audit/")
    assert page.status_code == 200
    assert list(verification.faults()) == []


@pytest.mark.parametrize("data", ["{", "5", "[]", '"text"', json.dumps({"x": "\ud800"}), '{"x": ' + "9" * 5000 + "}"])
def test_unreadable_data_is_reported_and_does_not_end_verification(data: str) -> None:
    session, whole = running_session(), running_session()
    pk = SessionEvent.objects.get(session=session, number=4).pk
    if connection.vendor == "sqlite":
        execute_as_owner("PRAGMA ignore_check_constraints = ON")
        execute_as_owner("UPDATE avatar_sessions_sessionevent SET data = %s WHERE id = %s", data, pk)
        execute_as_owner("PRAGMA ignore_check_constraints = OFF")
    else:
        execute_as_owner("UPDATE avatar_sessions_sessionevent SET data = %s WHERE id = %s", "[5]", pk)
    found = list(verification.faults())
    assert [(fault.session, fault.number, fault.column) for fault in found] == [(str(session.pk), 4, "data")]
    assert verification.first_fault_of(whole.pk) is None


UNREADABLE = {
    "sqlite": [
        ("at", "'yesterday'"), ("at", "'9999-99-99 99:99:99'"), ("at", "x'00ff'"), ("address", "'not an address'"),
        ("data", "'[{}, 1]'"), ("about", "x'00ff'"), ("about", "CAST(x'ff' AS text)"),
    ],
    "postgresql": [
        ("at", "'infinity'"), ("at", "'-infinity'"), ("at", "'4713-01-01 BC'"), ("at", "'20000-01-01'"),
        ("address", "'10.0.0.0/8'"), ("data", "'null'"), ("data", "'\"\\\\ud800\"'"),
    ],
}  # fmt: skip


@pytest.mark.both_databases
def test_an_unreadable_audit_entry_is_reported_and_does_not_end_verification() -> None:
    for number in range(3):
        audit_log.record_by(None, "192.0.2.7", AuditEntry.Kind.KEY_SET, f"Account {number}")
    for column, value in UNREADABLE[connection.vendor]:
        with transaction.atomic():
            execute_as_owner(f"UPDATE heygen_portal_auditentry SET {column} = {value} WHERE number = 2")
            [fault] = verification.faults()
            transaction.set_rollback(True)
        assert (fault.table, fault.number, fault.column) == ("audit_entry", 2, column.removesuffix("_id"))
