"""Records of an earlier version are upgraded while sessions run."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from sessions.actions import deadlines
from sessions.integrity import record_upgrade, verification
from sessions.lifecycle import coverage
from sessions.models import SessionTask, StreamingSession
from tests.sessions.integrity.test_tampering_columns import report_avatar_line
from tests.sessions.tampering import execute_as_owner, running_session

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_text_that_is_being_sent_meanwhile_is_stated_with_its_outcome(announced: object) -> None:
    session = running_session()
    report_avatar_line(session, "Buenos días.")
    kind = SessionTask.Kind.TALK
    deadlines.accept_task(session.pk, text="¿Cuánto cuesta?", kind=kind, user_id=session.user_id, ref="a")
    assert record_upgrade.upgrade().remaining == 0
    assert list(verification.faults()) == []
    assert stated(session) == {"session": 1, "conversation": 1, "line": 1}
    deadlines.fail_stale_tasks(timezone.now() + timedelta(hours=1))
    assert list(verification.faults()) == []
    assert stated(session) == {"session": 1, "conversation": 1, "line": 2, "task": 1}
    execute_as_owner("UPDATE avatar_sessions_sessiontask SET failure = 'provider_refused'")
    assert [(fault.table, fault.column) for fault in verification.faults()] == [("task", "failure")]


def test_a_session_that_another_process_upgrades_meanwhile_is_upgraded_once(
    announced: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = running_session()
    upgrade = record_upgrade._upgrade_session
    monkeypatch.setattr(record_upgrade, "_upgrade_session", lambda pk: upgrade(pk) and upgrade(pk))
    assert record_upgrade.upgrade().sessions == 1
    assert session.events.filter(kind=verification.UPGRADED).count() == 1


def test_an_upgrade_without_time_left_changes_nothing(announced: object) -> None:
    session = running_session()
    assert record_upgrade.upgrade(seconds=0) == record_upgrade.UpgradeResult(remaining=1)
    session.refresh_from_db()
    assert session.record_format < coverage.FORMAT


def stated(session: StreamingSession) -> dict[str, int]:
    """Return how many rows of each table the session's record states."""
    rows: dict[str, set[str]] = {}
    for data in session.events.values_list("data", flat=True):
        for table, found in data.get("rows", {}).items():
            rows.setdefault(table, set()).update(found)
    return {table: len(found) for table, found in rows.items()}
