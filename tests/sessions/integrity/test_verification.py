"""Tampering with the record of ended sessions.

The owner of the database can disable triggers and write SQL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone

from heygen_portal.people.access import roles
from heygen_portal.trail import audit_log, db_triggers, signing
from heygen_portal.trail.models import AuditEntry, AuditHead
from sessions.costs import ledger
from sessions.integrity import anchors, nightly_check, verification
from sessions.integrity.fault import Fault
from sessions.lifecycle import coverage, events, transitions
from sessions.lifecycle.events import Entry
from sessions.models import (
    DayTotal,
    EndReason,
    Erasure,
    HistoryCheck,
    SessionEvent,
    SessionHead,
    SessionSeal,
    SpeechKey,
    StreamingSession,
)
from sessions.retention import erasure
from tests.sessions.tampering import (
    EVENTS,
    at_number,
    ended_session,
    event_row,
    execute_as_owner,
    overwrite,
    running_session,
)
from tests.support.databases import BOTH
from tests.support.factories import WHY, PersonaFactory, StreamingSessionFactory, UserFactory


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


@pytest.fixture(autouse=True)
def without_broadcasts(announced: object) -> None:
    """Publish no events to browsers."""


def change(session: StreamingSession) -> int:
    execute_as_owner(f"UPDATE {EVENTS} SET data = %s WHERE id = %s", '{"n": 99}', event_row(session, 4).pk)
    return 4


def change_the_last(session: StreamingSession) -> int:
    execute_as_owner(f"UPDATE {EVENTS} SET kind = 'nothing' WHERE id = %s", event_row(session, 8).pk)
    return 8


def delete(session: StreamingSession) -> int:
    execute_as_owner(f"DELETE FROM {EVENTS} WHERE id = %s", event_row(session, 3).pk)
    return 3


def delete_and_renumber(session: StreamingSession) -> int:
    delete(session)
    for number in range(4, 9):
        overwrite(event_row(session, number), number - 1)
    return 3


def delete_the_first(session: StreamingSession) -> int:
    execute_as_owner(f"DELETE FROM {EVENTS} WHERE id = %s", event_row(session, 1).pk)
    return 1


def move_up(session: StreamingSession, number: int) -> None:
    for taken in range(8, number - 1, -1):
        overwrite(event_row(session, taken), taken + 1)


def insert(session: StreamingSession) -> int:
    """Insert a row whose own hash and previous hash both match."""
    move_up(session, 5)
    before = event_row(session, 4)
    new = SessionEvent(session=session, number=5, source="portal", kind="thing", previous_hash=before.hash)
    new.hash = events.digest(new)
    new.save()
    return 5


def insert_unlinked(session: StreamingSession) -> int:
    move_up(session, 5)
    SessionEvent.objects.create(
        **at_number(session, 5), source="portal", kind="thing", previous_hash="0" * 64, hash="1" * 64
    )
    return 5


def append(session: StreamingSession) -> int:
    """Append a valid event after the seal."""
    last = event_row(session, 8)
    new = SessionEvent(session=session, number=9, source="portal", kind="thing", previous_hash=last.hash)
    new.hash = events.digest(new)
    new.save()
    return 9


def swap(session: StreamingSession) -> int:
    first, second = event_row(session, 2), event_row(session, 6)
    overwrite(first, 100)
    overwrite(second, 2)
    overwrite(first, 6)
    return 2


def truncate(session: StreamingSession) -> int:
    with db_triggers.disabled(connection):
        session.events.filter(number__gt=6).delete()
    return 7


def truncate_all(session: StreamingSession) -> int:
    with db_triggers.disabled(connection):
        session.events.all().delete()
    return 1


def forge_a_hash(session: StreamingSession) -> int:
    execute_as_owner(f"UPDATE {EVENTS} SET hash = %s WHERE id = %s", "f" * 64, event_row(session, 4).pk)
    return 4


def forge_an_event(session: StreamingSession) -> int:
    """Change an event and recompute its hash."""
    event = event_row(session, 4)
    event.data = {"n": 99}
    overwrite(event, 4, data=event.data, hash=events.digest(event))
    return 4


def forge_the_rest(session: StreamingSession) -> int:
    """Change an event and recompute all following hashes; only the seal differs."""
    previous = event_row(session, 3).hash
    for number in range(4, 9):
        event = event_row(session, number)
        event.data, event.previous_hash = {"n": 99}, previous
        previous = events.digest(event)
        overwrite(event, number, data=event.data, previous_hash=event.previous_hash, hash=previous)
    return 8


# Shown in the menu while the last check has faults.
PROBLEM_BADGE = re.compile(r"bg-red-100[^>]*>\s*!\s*</span>")
TAMPERINGS: list[tuple[str, Callable[[StreamingSession], int]]] = [
    ("changed", change),
    ("changed", change_the_last),
    ("deleted", delete),
    ("deleted", delete_and_renumber),
    ("deleted", delete_the_first),
    ("inserted", insert),
    ("inserted", insert_unlinked),
    ("inserted", append),
    ("swapped", swap),
    ("truncated", truncate),
    ("truncated", truncate_all),
    ("forged", forge_a_hash),
    ("forged", forge_an_event),
    ("forged", forge_the_rest),
]


@pytest.mark.parametrize(("kind", "tamper"), TAMPERINGS, ids=lambda one: getattr(one, "__name__", ""))
def test_tampering_with_a_record_is_found_and_the_row_named(
    kind: str, tamper: Callable[[StreamingSession], int]
) -> None:
    """Requirements 6, 49, 55 and 64 rely on an unchanged record."""
    sessions = [ended_session() for _ in range(3)]
    assert list(verification.faults()) == []
    number = tamper(sessions[1])
    assert [(fault.kind, fault.session, fault.number) for fault in verification.faults()] == [
        (kind, str(sessions[1].pk), number)
    ]
    with pytest.raises(CommandError, match=f"event {number}"):
        call_command("verify_history", str(sessions[1].pk))


@pytest.mark.both_databases
def test_the_database_refuses_to_change_or_delete_records() -> None:
    session = ended_session()
    audit_log.record(None, AuditEntry.Kind.KEY_SET, "Ours")
    session.speech_key = SpeechKey.objects.create(session=session, wrapped=b"a key")
    assert erasure.erase(session.pk, Erasure.Cause.STAFF)
    kept = (session.events.all(), *(model._default_manager.all() for model in (SessionSeal, Erasure, AuditEntry)))
    heads = (SessionHead.objects.all(), AuditHead.objects.all())
    for rows in (*kept, *heads):
        with pytest.raises(DatabaseError, match="append-only"):
            rows.update(hash="0" * 64)
        with pytest.raises(DatabaseError, match="append-only"):
            rows.delete()
    assert list(verification.faults()) == []


@pytest.mark.both_databases
def test_missing_triggers_are_reported() -> None:
    db_triggers.remove(connection)
    found = list(verification.faults())
    db_triggers.install(connection)
    assert found == [Fault("unguarded")]


def test_a_seal_from_before_its_time_was_signed_is_valid() -> None:
    session, number, last_hash, at = uuid4(), 7, "a" * 64, "2026-01-01T00:00:00+00:00"
    signature = signing.sign(session, number, last_hash)
    assert SessionSeal.is_signed(signature, session, number, last_hash, at)
    assert not SessionSeal.is_signed(signature, session, number + 1, last_hash, at)


def test_a_forged_or_deleted_seal_is_found() -> None:
    one, other, third = ended_session(), ended_session(), ended_session()
    forge_the_rest(third)
    with db_triggers.disabled(connection):
        SessionSeal.objects.filter(session=one).update(hash="f" * 64)
        SessionSeal.objects.filter(session=other).delete()
        SessionSeal.objects.filter(session=third).update(hash=event_row(third, 8).hash)
    assert {fault.session: fault.kind for fault in verification.faults()} == {
        str(one.pk): "seal_forged",
        str(other.pk): "unsealed",
        str(third.pk): "forged",
    }


def test_a_changed_signature_or_time_of_a_seal_is_named() -> None:
    sessions = [ended_session() for _ in range(3)]
    seals = [SessionSeal.objects.get(session=session) for session in sessions]
    signature = seals[0].signature
    with db_triggers.disabled(connection):
        rows = [SessionSeal.objects.filter(pk=seal.pk) for seal in seals]
        rows[0].update(signature=signature[:-5] + ("A" if signature[-5] != "A" else "B") + signature[-4:])
        rows[1].update(signature="")
        rows[2].update(at=seals[2].at + timedelta(days=1))
    found = {(fault.session, fault.kind, fault.column) for fault in verification.faults()}
    columns = ("signature", "signature", "at")
    assert found == {(str(one.pk), "seal_forged", name) for one, name in zip(sessions, columns, strict=True)}


def test_a_changed_or_added_text_is_found() -> None:
    changed, added, whole = ended_session(), ended_session(), ended_session()
    for session in (changed, whole):
        line = session.utterances.create(who="avatar", by="voice", text="Son 20 €", source="browser")
        events.record(session.pk, Entry("avatar_end_message", {"utterance": line.pk, "speech": line.fingerprint}))
    line = changed.utterances.get()
    line.text = "Son 200 €"
    line.save()
    added.utterances.create(who="user", by="text", text="Acepto", source="portal")
    assert {fault.session: (fault.kind, fault.number) for fault in verification.faults()} == {
        str(changed.pk): ("text_changed", 9),
        str(added.pk): ("text_inserted", None),
    }


def test_added_lines_are_reported_up_to_a_maximum() -> None:
    session = stated_session()
    for number in range(25):
        session.utterances.create(who="user", by="text", text=f"Acepto {number}", source="portal")
    assert {fault.kind for fault in verification.faults()} == {"row_added"}
    assert len(list(verification.faults())) == 20


def stated_session() -> StreamingSession:
    """Return a session whose record states all of its rows."""
    return transitions.request(PersonaFactory.create(published=True), UserFactory.create().pk)


def test_a_record_that_claims_a_newer_format_than_it_has_is_found() -> None:
    session = running_session()
    StreamingSession.objects.filter(pk=session.pk).update(record_format=coverage.FORMAT)
    (fault,) = [fault for fault in verification.faults() if fault.table == "session"]
    assert (fault.kind, fault.column) == ("unstated", "record_format")


def test_deleted_moved_and_added_sums_of_a_day_are_named() -> None:
    """One kind does not hide another."""
    days = []
    for _ in range(2):
        session = stated_session()
        transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
        transitions.end(session)
        ledger.book_all()
        days.append(DayTotal.objects.get(persona=session.persona_id))
    assert list(verification.faults()) == []
    deleted, moved = days
    names = [f"{day.day} {day.account_id} {day.persona_id}" for day in days]
    other = PersonaFactory.create(published=True)
    empty, added = (
        DayTotal(day=date(2001, 2, number), account=other.avatar.account, persona=other) for number in (3, 4)
    )
    added.sessions = 7
    DayTotal.objects.filter(pk=deleted.pk).delete()
    DayTotal.objects.filter(pk=moved.pk).update(day=moved.day - timedelta(days=1))
    DayTotal.objects.bulk_create([empty, added])  # no sums are no claim
    assert [(fault.kind, fault.row, fault.column) for fault in verification.faults() if fault.table == "day_total"] == [
        ("row_deleted", names[0], ""),
        ("row_changed", names[1], "day"),
        ("row_added", f"2001-02-04 {other.avatar.account_id} {other.pk}", ""),
    ]


def test_events_after_the_end_are_sealed() -> None:
    session = ended_session()
    events.record(session.pk, Entry("provider_record", {"speech": []}))
    assert list(SessionSeal.objects.filter(session=session).values_list("number", flat=True)) == [8, 9]
    assert list(verification.faults()) == []
    truncate_all(session)
    assert [fault.kind for fault in verification.faults()] == ["truncated"]


def test_anchors_reveal_a_session_deleted_with_its_record(tmp_path: Path, settings: Any) -> None:
    settings.HISTORY_ANCHOR_FILE = str(tmp_path / "elsewhere" / "anchors")
    gone, _kept = ended_session(), ended_session()
    assert not anchors.write(timezone.now())  # the seals are too new
    assert anchors.write(timezone.now() + anchors.SEAL_SETTLING_TIME)
    assert not anchors.write(timezone.now() + anchors.SEAL_SETTLING_TIME)  # no new seals
    ended_session()
    assert anchors.write(timezone.now() + anchors.SEAL_SETTLING_TIME)
    assert anchors.check() == (2, None)
    with db_triggers.disabled(connection):
        SessionSeal.objects.filter(session=gone).delete()
        SessionHead.objects.filter(session=gone).delete()
        gone.events.all().delete()
        gone.delete()
        gone.conversation.delete()
    assert list(verification.faults()) == []
    assert anchors.check() == (1, 1)
    check = nightly_check.check_record(timezone.now())
    assert [(fault["how"], fault["number"]) for fault in check.faults] == [("anchor", 1)]


def test_an_edited_anchor_file_no_longer_matches(tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "anchors"
    settings.HISTORY_ANCHOR_FILE = str(path)
    ended_session()
    anchors.write(timezone.now() + anchors.SEAL_SETTLING_TIME)
    line = json.loads(path.read_text())
    path.write_text(json.dumps(line | {"seals": 2}) + "\n")
    assert anchors.check() == (1, 1)
    path.write_text("{nonsense\n")
    assert anchors.check() == (1, 1)


def test_a_check_counts_all_problems_and_stores_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nightly_check, "MAX_STORED_FAULTS", 2)
    for session in [ended_session() for _ in range(3)]:
        change(session)
    check = nightly_check.check_record(timezone.now())
    assert (check.fault_count, len(check.faults)) == (3, 2)


def test_staff_see_the_nightly_check(client: Client, admin_user: Any) -> None:
    session = ended_session()
    client.force_login(admin_user)
    nightly_check.check_record(timezone.now())
    assert not PROBLEM_BADGE.search(client.get("/admin/").content.decode())
    change(session)
    nightly_check.check_record(timezone.now())
    assert PROBLEM_BADGE.search(client.get("/admin/").content.decode())
    check = HistoryCheck.objects.latest("pk")
    assert (check.sessions, check.events, check.fault_count) == (1, 8, 1)
    page = client.get(f"/admin/avatar_sessions/historycheck/{check.pk}/change/", headers={"accept-language": "en"})
    assert f"Session {session.pk}, event 4, column data: Its content was changed." in page.content.decode()
    listed = client.get("/admin/avatar_sessions/historycheck/", headers={"accept-language": "es"}).content.decode()
    assert "problemas" in listed
    assert roles.AUDITOR.permissions.count("avatar_sessions.view_historycheck") == 1


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            (
                "session: 1",
                "event: 8",
                "All columns shown to auditors are covered.",
                "line.who (2)",
                "earlier versions",
            ),
        ),
        ("es", ("sesión: 1", "evento: 8", "Todas las columnas", "line.who (2)", "versiones anteriores")),
    ],
)
def test_the_check_page_shows_what_was_read_and_covered(
    client: Client, admin_user: Any, language: str, expected: tuple[str, ...]
) -> None:
    ended_session()
    client.force_login(admin_user)
    check = nightly_check.check_record(timezone.now())
    address = f"/admin/avatar_sessions/historycheck/{check.pk}/change/"
    HistoryCheck.objects.update(covered=check.covered | {"unstated": {}, "older_sessions": 0})
    page = client.get(address, headers={"accept-language": language}).content.decode()
    assert [words for words in expected[:3] if words not in page] == []
    covered = {"older_sessions": 1, "since": {"line.who": "2026-01-02T03:04:05+00:00"}, "unstated": {"line.who": 2}}
    HistoryCheck.objects.update(covered=covered)
    page = client.get(address, headers={"accept-language": language}).content.decode()
    assert [words for words in (*expected[3:], "2026-01-02") if words not in page] == []
    assert expected[2] not in page
    HistoryCheck.objects.update(covered={})  # by an earlier version
    page = client.get(address, headers={"accept-language": language}).content.decode()
    assert [words for words in expected[2:] if words in page] == []


@pytest.mark.both_databases
@pytest.mark.parametrize("microsecond", [0, 1, 120_000, 999_999])
def test_timestamps_are_verified_to_the_microsecond(microsecond: int) -> None:
    session = ended_session()
    at = timezone.now().replace(microsecond=microsecond)
    events.record(session.pk, Entry("thing", at=at))
    assert list(verification.faults()) == []
    overwrite(event_row(session, 9), 9, at=at.replace(microsecond=2))
    assert [fault.kind for fault in verification.faults()] == ["changed"]


@pytest.mark.both_databases
def test_verify_history_confirms_an_intact_record() -> None:
    ended_session()
    output = StringIO()
    call_command("verify_history", stdout=output)
    assert "1 sessions, 8 events, 0 audit entries, 0 anchors" in output.getvalue()
    assert output.getvalue().endswith("No faults found.\n")


def test_one_session_is_verified_by_its_id() -> None:
    session, output = ended_session(), StringIO()
    call_command("verify_history", str(session.pk), stdout=output)
    assert output.getvalue() == "No faults found.\n"
    with pytest.raises(CommandError, match="no such session"):
        call_command("verify_history", str(uuid4()))


@pytest.mark.both_databases
def test_fifty_concurrent_writers_leave_an_intact_chain() -> None:
    session = StreamingSessionFactory.create()

    def append_two(number: int) -> None:
        try:
            events.record(session.pk, Entry("thing", {"n": number}))
            events.record(session.pk, Entry("thing", {"n": number}))
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(append_two, range(50)))
    assert list(session.events.values_list("number", flat=True)) == list(range(1, 101))
    assert verification.first_fault_of(session.pk) is None
