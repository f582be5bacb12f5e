"""Tampering with open sessions, erasure receipts and the audit log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from heygen_portal.trail import audit_log, db_triggers
from heygen_portal.trail.models import AuditEntry, AuditHead
from sessions.integrity import anchors, nightly_check, verification
from sessions.integrity.fault import Fault
from sessions.lifecycle import events, transitions
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, Erasure, HistoryCheck, SessionHead, SpeechKey, StreamingSession
from sessions.retention import erasure
from tests.sessions.tampering import ended_session, event_row, running_session
from tests.support.databases import BOTH
from tests.support.factories import WHY


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


@pytest.fixture(autouse=True)
def without_broadcasts(announced: object) -> None:
    """Publish no events to browsers."""


def named(fault: Fault | None) -> tuple[str, str, int | None] | None:
    return (fault.kind, fault.session, fault.number) if fault else None


def delete_tail(session: StreamingSession) -> None:
    with db_triggers.disabled(connection):
        session.events.filter(number__gt=4).delete()


def delete_tail_and_reset_head(session: StreamingSession) -> None:
    delete_tail(session)
    with db_triggers.disabled(connection):
        SessionHead.objects.filter(session=session).update(number=4, hash=event_row(session, 4).hash)


def delete_tail_and_head(session: StreamingSession) -> None:
    delete_tail(session)
    with db_triggers.disabled(connection):
        SessionHead.objects.filter(session=session).delete()


def delete_everything(session: StreamingSession) -> None:
    delete_tail_and_head(session)
    with db_triggers.disabled(connection):
        session.events.all().delete()


def add(session: StreamingSession) -> None:
    last = event_row(session, 6)
    new = session.events.model(session=session, number=7, source="portal", kind="thing", previous_hash=last.hash)
    new.hash = events.digest(new)
    new.save()


END_TAMPERINGS: list[tuple[Callable[[StreamingSession], None], str, int]] = [
    (delete_tail, "truncated", 5),
    (delete_tail_and_reset_head, "head_forged", 4),
    (delete_tail_and_head, "headless", 4),
    (delete_everything, "truncated", 1),
    (add, "inserted", 7),
]


@pytest.mark.parametrize(("tamper", "kind", "number"), END_TAMPERINGS, ids=lambda one: getattr(one, "__name__", ""))
def test_tampering_with_the_end_of_a_running_record_is_found(
    tamper: Callable[[StreamingSession], None], kind: str, number: int
) -> None:
    """Requirements 6 and 64: no recorded event goes missing unnoticed."""
    sessions = [running_session() for _ in range(3)]
    assert list(verification.faults()) == []
    tamper(sessions[1])
    assert [(fault.kind, fault.session, fault.number) for fault in verification.faults()] == [
        (kind, str(sessions[1].pk), number)
    ]


@pytest.mark.parametrize("has_forgotten", [False, True])
def test_deleted_events_stay_missing_when_the_session_continues(has_forgotten: bool) -> None:
    """The next append may come from a process that does not know the last event."""
    session = running_session()
    delete_tail(session)
    if has_forgotten:
        events._last_appended.clear()
    events.record(session.pk, Entry("next"))
    events.record(session.pk, Entry("and next"), Entry("and next"))
    assert named(verification.first_fault_of(session.pk)) == ("deleted", str(session.pk), 5)


def test_an_inserted_event_stays_found_and_does_not_block_appending() -> None:
    session = running_session()
    add(session)
    events.record(session.pk, Entry("next"))
    events.record(session.pk, Entry("and next"))
    assert session.events.count() == 9
    fault = verification.first_fault_of(session.pk)
    assert fault
    assert fault.number == 7


def test_a_tail_deleted_with_its_seal_is_found() -> None:
    session = ended_session()
    events.record(session.pk, Entry("provider_record", {"speech": []}))
    with db_triggers.disabled(connection):
        session.events.filter(number=9).delete()
        session.seals.filter(number=9).delete()
    assert named(verification.first_fault_of(session.pk)) == ("truncated", str(session.pk), 9)


def test_a_head_put_back_to_an_earlier_one_of_ours_is_found() -> None:
    """Its signature is valid."""
    ended, running = running_session(), running_session()
    before = list(SessionHead.objects.filter(session__in=(ended, running)).values())
    transitions.begin_stop(ended, EndReason.USER_STOPPED, WHY)
    transitions.end(ended)
    events.record(running.pk, Entry("next"))
    with db_triggers.disabled(connection):
        for head in before:
            SessionHead.objects.filter(pk=head["session_id"]).update(**head)
    assert {(fault.session, fault.kind, fault.number, fault.column) for fault in verification.faults()} == {
        (str(ended.pk), "head_forged", 6, "number"),
        (str(running.pk), "inserted", 7, ""),
    }


def test_a_changed_deleted_or_forged_receipt_is_found() -> None:
    changed, lost, made_up, whole = (ended_session() for _ in range(4))
    for session in (changed, lost, whole):
        SpeechKey.objects.create(session=session, wrapped=b"a key")
        assert erasure.erase(session.pk, Erasure.Cause.RETENTION)
    with db_triggers.disabled(connection):
        Erasure.objects.filter(session=changed).update(cause=Erasure.Cause.PERSON)
        Erasure.objects.filter(session=lost).delete()
        receipt = Erasure.objects.get(session=whole)
        receipt.pk, receipt.session = None, made_up
        receipt.save(force_insert=True)
    assert {fault.session: (fault.kind, fault.number) for fault in verification.faults()} == {
        str(changed.pk): ("row_changed", 9),
        str(lost.pk): ("row_deleted", 9),
        str(made_up.pk): ("receipt", None),
    }


def entry(number: int) -> AuditEntry:
    return AuditEntry.objects.get(number=number)


def overwrite_entry(one: AuditEntry, number: int, **fields: Any) -> None:
    with db_triggers.disabled(connection):
        AuditEntry.objects.filter(pk=one.pk).update(number=number, **fields)


def change_entry() -> tuple[str, int]:
    overwrite_entry(entry(3), 3, about="Theirs")
    return "changed", 3


def delete_entry() -> tuple[str, int]:
    with db_triggers.disabled(connection):
        entry(3).delete()
    return "deleted", 3


def delete_entry_and_close_the_gap() -> tuple[str, int]:
    delete_entry()
    for number in (4, 5, 6):
        overwrite_entry(entry(number), number - 1)
    return "deleted", 3


def insert_entry() -> tuple[str, int]:
    for number in (6, 5, 4, 3):
        overwrite_entry(entry(number), number + 1)
    new = AuditEntry(number=3, kind="key_set", about="Ours", previous_hash=entry(2).hash)
    new.hash = new.digest()
    new.save()
    return "inserted", 3


def swap_entries() -> tuple[str, int]:
    first, second = entry(2), entry(4)
    overwrite_entry(first, 100)
    overwrite_entry(second, 2)
    overwrite_entry(first, 4)
    return "swapped", 2


def truncate_entries() -> tuple[str, int]:
    with db_triggers.disabled(connection):
        AuditEntry.objects.filter(number__gt=4).delete()
    return "truncated", 5


def truncate_entries_and_their_head() -> tuple[str, int]:
    truncate_entries()
    with db_triggers.disabled(connection):
        AuditHead.objects.update(number=4, hash=entry(4).hash)
    return "head_forged", 4


def delete_entries_and_their_head() -> tuple[str, int]:
    with db_triggers.disabled(connection):
        AuditEntry.objects.all().delete()
        AuditHead.objects.all().delete()
    return "headless", 0


def forge_entry() -> tuple[str, int]:
    one = entry(3)
    one.about = "Theirs"
    overwrite_entry(one, 3, about=one.about, hash=one.digest())
    return "forged", 3


def forge_the_rest() -> tuple[str, int]:
    last_hash = entry(2).hash
    for number in range(3, 7):
        one = entry(number)
        one.about, one.previous_hash = "Theirs", last_hash
        last_hash = one.digest()
        overwrite_entry(one, number, about=one.about, previous_hash=one.previous_hash, hash=last_hash)
    return "forged", 6


def add_entry() -> tuple[str, int]:
    new = AuditEntry(number=7, kind="key_set", about="Ours", previous_hash=entry(6).hash)
    new.hash = new.digest()
    new.save()
    return "inserted", 7


TAMPERINGS = [
    change_entry,
    delete_entry,
    delete_entry_and_close_the_gap,
    insert_entry,
    swap_entries,
    truncate_entries,
    truncate_entries_and_their_head,
    delete_entries_and_their_head,
    forge_entry,
    forge_the_rest,
    add_entry,
]


@pytest.mark.parametrize("tamper", TAMPERINGS)
def test_tampering_with_the_audit_log_is_found_and_the_entry_named(
    tamper: Callable[[], tuple[str, int]], client: Client, admin_user: Any
) -> None:
    for number in range(1, 7):
        audit_log.record(None, AuditEntry.Kind.KEY_SET, f"Account {number}")
    assert list(verification.faults()) == []
    kind, number = tamper()
    with pytest.raises(CommandError, match="Faults found: 1"):
        call_command("verify_history")
    check = HistoryCheck.objects.latest("pk")
    assert [(fault["how"], fault["session"], fault["number"]) for fault in check.faults] == [(kind, "", number)]
    assert nightly_check.check_record(timezone.now()).fault_count == 1  # the check's own audit entry does not hide it
    client.force_login(admin_user)
    page = client.get(f"/admin/avatar_sessions/historycheck/{check.pk}/change/", headers={"accept-language": "es"})
    assert f"Entrada de auditoría {number}" in page.content.decode()


def test_a_later_entry_does_not_hide_deleted_ones() -> None:
    for number in range(1, 4):
        audit_log.record(None, AuditEntry.Kind.KEY_SET, f"Account {number}")
    with db_triggers.disabled(connection):
        AuditEntry.objects.filter(number=3).delete()
    audit_log.record(None, AuditEntry.Kind.KEY_SET, "Account 4")
    assert audit_log.check() == (3, ("deleted", 3, ""))


@pytest.mark.both_databases
def test_a_rolled_back_audit_log_is_found_by_its_anchor(tmp_path: Path, settings: Any) -> None:
    settings.HISTORY_ANCHOR_FILE = str(tmp_path / "anchors")
    audit_log.record(None, AuditEntry.Kind.KEY_SET, "Ours")
    before = AuditHead.objects.values().get()
    audit_log.record(None, AuditEntry.Kind.KEY_SET, "Theirs")
    assert anchors.write(timezone.now())
    assert not anchors.write(timezone.now())
    assert anchors.check() == (1, None)
    with db_triggers.disabled(connection):
        AuditEntry.objects.filter(number__gte=2).delete()
        AuditHead.objects.update(**before)
    assert list(verification.faults()) == []
    assert anchors.check() == (1, 1)
