"""What else whoever owns the database may do: to sessions that still run, to receipts, to the audit's own list."""

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
from sessions.integrity.damage import Fault
from sessions.lifecycle import events
from sessions.lifecycle.events import Entry
from sessions.models import Erasure, HistoryCheck, SessionHead, SpeechKey, StreamingSession
from sessions.retention import erasure
from tests.sessions.tampering import ended, row, running


@pytest.fixture(autouse=True, params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


@pytest.fixture(autouse=True)
def nobody_listens(announced: object) -> None:
    """No browser hears of it."""


def named(fault: Fault | None) -> tuple[str, str, int | None] | None:
    return (fault.how, fault.session, fault.number) if fault else None


def cut(session: StreamingSession) -> None:
    """The newest two events never were."""
    with db_triggers.disabled(connection):
        session.events.filter(number__gt=4).delete()


def cut_with_its_head(session: StreamingSession) -> None:
    cut(session)
    with db_triggers.disabled(connection):
        SessionHead.objects.filter(session=session).update(number=4, hash=row(session, 4).hash)


def lose_the_head(session: StreamingSession) -> None:
    cut(session)
    with db_triggers.disabled(connection):
        SessionHead.objects.filter(session=session).delete()


def lose_all(session: StreamingSession) -> None:
    lose_the_head(session)
    with db_triggers.disabled(connection):
        session.events.all().delete()


def add(session: StreamingSession) -> None:
    last = row(session, 6)
    new = session.events.model(session=session, number=7, source="portal", kind="thing", previous_hash=last.hash)
    new.hash = events.digest(new)
    new.save()


RUNNING: list[tuple[Callable[[StreamingSession], None], str, int]] = [
    (cut, "truncated", 5),
    (cut_with_its_head, "head_forged", 4),
    (lose_the_head, "headless", 4),
    (lose_all, "truncated", 1),
    (add, "inserted", 7),
]


@pytest.mark.parametrize(("tamper", "how", "number"), RUNNING, ids=lambda one: getattr(one, "__name__", ""))
def test_what_is_done_to_the_end_of_a_record_is_found_while_the_session_runs(
    tamper: Callable[[StreamingSession], None], how: str, number: int
) -> None:
    """Requirements 6 and 64: nothing is missing, from the moment it happened on."""
    sessions = [running() for _ in range(3)]
    assert list(verification.faults()) == []
    tamper(sessions[1])
    assert [(fault.how, fault.session, fault.number) for fault in verification.faults()] == [
        (how, str(sessions[1].pk), number)
    ]


@pytest.mark.parametrize("forgets", [False, True])
def test_what_was_cut_off_stays_missed_when_the_session_goes_on(forgets: bool) -> None:
    """Whichever process appends next, and whether or not it knows what it appended last."""
    session = running()
    cut(session)
    if forgets:
        events._appended_last.clear()
    events.record(session.pk, Entry("next"))
    events.record(session.pk, Entry("and next"), Entry("and next"))
    assert named(verification.look_at(session.pk)) == ("deleted", str(session.pk), 5)


def test_an_event_that_was_slipped_in_stays_found_and_keeps_nobody_from_appending() -> None:
    session = running()
    add(session)
    events.record(session.pk, Entry("next"))
    events.record(session.pk, Entry("and next"))
    assert session.events.count() == 9
    fault = verification.look_at(session.pk)
    assert fault
    assert fault.number == 7


def test_a_tail_that_was_cut_off_with_its_seal_is_found() -> None:
    session = ended()
    events.record(session.pk, Entry("provider_record", {"speech": []}))
    with db_triggers.disabled(connection):
        session.events.filter(number=9).delete()
        session.seals.filter(number=9).delete()
    assert named(verification.look_at(session.pk)) == ("truncated", str(session.pk), 9)


def test_a_receipt_that_was_changed_lost_or_made_up_is_found() -> None:
    changed, lost, made_up, whole = (ended() for _ in range(4))
    for session in (changed, lost, whole):
        SpeechKey.objects.create(session=session, wrapped=b"a key")
        assert erasure.erase(session.pk, Erasure.Cause.RETENTION)
    with db_triggers.disabled(connection):
        Erasure.objects.filter(session=changed).update(cause=Erasure.Cause.PERSON)
        Erasure.objects.filter(session=lost).delete()
        receipt = Erasure.objects.get(session=whole)
        receipt.pk, receipt.session = None, made_up
        receipt.save(force_insert=True)
    assert {fault.session: (fault.how, fault.number) for fault in verification.faults()} == {
        str(changed.pk): ("row_changed", 9),
        str(lost.pk): ("row_deleted", 9),
        str(made_up.pk): ("receipt", None),
    }


def entry(number: int) -> AuditEntry:
    return AuditEntry.objects.get(number=number)


def put(one: AuditEntry, number: int, **fields: Any) -> None:
    with db_triggers.disabled(connection):
        AuditEntry.objects.filter(pk=one.pk).update(number=number, **fields)


def change_entry() -> tuple[str, int]:
    put(entry(3), 3, about="Theirs")
    return "changed", 3


def delete_entry() -> tuple[str, int]:
    with db_triggers.disabled(connection):
        entry(3).delete()
    return "deleted", 3


def delete_entry_and_close_the_gap() -> tuple[str, int]:
    delete_entry()
    for number in (4, 5, 6):
        put(entry(number), number - 1)
    return "deleted", 3


def insert_entry() -> tuple[str, int]:
    for number in (6, 5, 4, 3):
        put(entry(number), number + 1)
    new = AuditEntry(number=3, kind="key_set", about="Ours", previous_hash=entry(2).hash)
    new.hash = new.digest()
    new.save()
    return "inserted", 3


def swap_entries() -> tuple[str, int]:
    first, second = entry(2), entry(4)
    put(first, 100)
    put(second, 2)
    put(first, 4)
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
    put(one, 3, about=one.about, hash=one.digest())
    return "forged", 3


def forge_the_rest() -> tuple[str, int]:
    last_hash = entry(2).hash
    for number in range(3, 7):
        one = entry(number)
        one.about, one.previous_hash = "Theirs", last_hash
        last_hash = one.digest()
        put(one, number, about=one.about, previous_hash=one.previous_hash, hash=last_hash)
    return "forged", 6


def add_entry() -> tuple[str, int]:
    new = AuditEntry(number=7, kind="key_set", about="Ours", previous_hash=entry(6).hash)
    new.hash = new.digest()
    new.save()
    return "inserted", 7


HARMS = [
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


@pytest.mark.parametrize("harm", HARMS)
def test_whatever_is_done_to_the_audits_list_is_found_by_the_nights_check_and_the_entry_named(
    harm: Callable[[], tuple[str, int]], client: Client, admin_user: Any
) -> None:
    for number in range(1, 7):
        audit_log.record(None, AuditEntry.Kind.KEY_SET, f"Account {number}")
    assert list(verification.faults()) == []
    how, number = harm()
    with pytest.raises(CommandError, match="1 do not fit"):
        call_command("verify_history")
    check = HistoryCheck.objects.latest("pk")
    assert [(fault["how"], fault["session"], fault["number"]) for fault in check.faults] == [(how, "", number)]
    assert nightly_check.look(timezone.now()).fault_count == 1  # the check's own entry has healed nothing
    client.force_login(admin_user)
    page = client.get(f"/admin/avatar_sessions/historycheck/{check.pk}/change/", headers={"accept-language": "es"})
    assert f"Entrada de auditoría {number}" in page.content.decode()


def test_an_entry_that_comes_after_others_were_cut_off_covers_nothing_up() -> None:
    for number in range(1, 4):
        audit_log.record(None, AuditEntry.Kind.KEY_SET, f"Account {number}")
    with db_triggers.disabled(connection):
        AuditEntry.objects.filter(number=3).delete()
    audit_log.record(None, AuditEntry.Kind.KEY_SET, "Account 4")
    assert audit_log.check() == (3, ("deleted", 3, ""))


def test_a_list_that_was_put_back_to_what_it_was_is_found_by_its_anchor(tmp_path: Path, settings: Any) -> None:
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
