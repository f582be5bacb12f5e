"""Records rewritten without the signing key.

Events that the portal appends later must not make them valid.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from heygen_portal.trail import audit_log, db_triggers
from heygen_portal.trail.models import AuditEntry, AuditHead
from sessions.actions import deadlines
from sessions.exports import list_export
from sessions.integrity import verification
from sessions.lifecycle import events, transitions
from sessions.lifecycle.events import Entry
from sessions.models import (
    EndReason,
    Erasure,
    Export,
    LegalHold,
    SessionHead,
    SessionSeal,
    SessionTask,
    SpokenWord,
    Status,
    StreamingSession,
    Utterance,
)
from sessions.retention import erasure
from tests.sessions import tampering
from tests.sessions.integrity.test_tampering_columns import send_text
from tests.sessions.tampering import Rows, live_session, restate, rewrite_record
from tests.support.databases import BOTH
from tests.support.factories import WHY, PersonaFactory, UserFactory


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")
    audit_log.lock_head()


@pytest.fixture
def running(announced: object) -> StreamingSession:
    session = live_session(PersonaFactory.create(published=True), "theirs")
    send_text(session, "Hola")
    assert verification.faults_of(session.pk) == []
    return session


def _end(session: StreamingSession) -> None:
    session.refresh_from_db()
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)


@pytest.fixture
def ended(running: StreamingSession) -> StreamingSession:
    _end(running)
    assert verification.faults_of(running.pk) == []
    return running


def _reassign_to(other: int) -> Callable[[Rows], Rows]:
    return lambda rows: restate(restate(rows, "session", user=other), "line", who="avatar", is_interrupted=True)


def _end_in_bulk(session: StreamingSession) -> None:
    session.refresh_from_db()
    transitions.begin_stop_all([session], EndReason.IDLE)
    transitions.end_all([session.pk])


CONTINUATIONS: dict[str, Callable[[StreamingSession], object]] = {
    "an event": lambda session: events.record(session.pk, Entry("muted")),
    "two events": lambda session: events.record(session.pk, Entry("muted"), Entry("unmuted")),
    "a text": lambda session: send_text(session, "¿Sigues ahí?"),
    "its end": _end,
    "many ends": _end_in_bulk,
}


@pytest.mark.parametrize(
    ("by", "signature"),
    [("an event", "x"), ("two events", "of before"), ("a text", "of another session"), ("its end", "of a seal"),
     ("many ends", "x"), ("an event", "gone"), ("many ends", "gone")],
)  # fmt: skip
def test_a_running_sessions_rewritten_record_stays_broken(running: StreamingSession, by: str, signature: str) -> None:
    head = SessionHead.objects.get(session=running)
    made = {
        "of before": head.signature,
        "of another session": SessionHead.sign(uuid4(), head.number, head.hash),
        "of a seal": SessionSeal.sign(running.pk, head.number, head.hash, timezone.now().isoformat()),
    }
    other = UserFactory.create().pk
    rewrite_record(running, _reassign_to(other), made.get(signature, "x"))
    StreamingSession.objects.filter(pk=running.pk).update(user_id=other)
    Utterance.objects.filter(session=running).update(who="avatar", is_interrupted=True)
    if signature == "gone":
        with db_triggers.disabled(connection):
            SessionHead.objects.filter(session=running).delete()
    assert verification.faults_of(running.pk)
    CONTINUATIONS[by](running)
    broken = {(fault.table, fault.number) for fault in verification.faults_of(running.pk)}
    assert ("event", head.number + 1) in broken
    events.record(running.pk, Entry("unmuted"))  # by now the process knows where the record ends
    if StreamingSession.objects.get(pk=running.pk).status != Status.ENDED:
        _end(running)
    assert ("event", head.number + 1) in {(fault.table, fault.number) for fault in verification.faults_of(running.pk)}


def test_a_record_rewritten_twice_stays_broken(running: StreamingSession) -> None:
    rewrite_record(running, _reassign_to(UserFactory.create().pk))
    events.record(running.pk, Entry("muted"))
    rewrite_record(running)  # numbered without a gap, but unsigned again
    events.record(running.pk, Entry("unmuted"))
    assert "event" in {fault.table for fault in verification.faults_of(running.pk)}


def test_a_deleted_record_does_not_restart_in_an_older_format(
    running: StreamingSession,
) -> None:
    with db_triggers.disabled(connection):
        running.events.all().delete()
        SessionHead.objects.filter(session=running).delete()
    StreamingSession.objects.filter(pk=running.pk).update(record_format=1)
    events.record(running.pk, Entry("muted"))
    assert "event" in {fault.table for fault in verification.faults_of(running.pk)}


EVENTS_AFTER_THE_END: dict[str, Callable[[StreamingSession], object]] = {
    "a hold": lambda session: erasure.hold(session.pk, "Litigation", (session.user_id or 0)),
    "an export": lambda session: list_export.request_export(
        (session.user_id or 0), None, Export.What.RECORD, Export.Format.JSON, session=session
    ),
    "an erasure": lambda session: erasure.erase(session.pk, Erasure.Cause.RETENTION),
    "an event": lambda session: events.record(session.pk, Entry("rated")),
}


@pytest.mark.parametrize(
    ("by", "kept"),
    [*((by, "no seal") for by in EVENTS_AFTER_THE_END), ("an event", "the seals")],
)
def test_an_ended_sessions_rewritten_record_is_not_sealed_as_intact(
    ended: StreamingSession, by: str, kept: str
) -> None:
    other = UserFactory.create().pk
    line = Utterance.objects.filter(session=ended).latest("pk")

    def forged(rows: Rows) -> Rows:
        for event in rows:
            stated = event["data"].get("rows", {})
            stated.get("line", {}).pop(str(line.pk), None)
            if kept == "no seal":
                stated.pop("seal", None)
        return restate(rows, "session", end_reason="provider_ended", user=other)

    rewrite_record(ended, forged)
    if kept == "no seal":
        with db_triggers.disabled(connection):
            SessionSeal.objects.filter(session=ended).delete()
    StreamingSession.objects.filter(pk=ended.pk).update(user_id=other, end_reason="provider_ended")
    SpokenWord.objects.filter(utterance=line).delete()
    Utterance.objects.filter(pk=line.pk).delete()
    length = ended.events.count()
    ended.refresh_from_db()
    for continuation in (EVENTS_AFTER_THE_END[by], EVENTS_AFTER_THE_END["an event"]):
        continuation(ended)
        broken = {(fault.table, fault.number) for fault in verification.faults_of(ended.pk)}
        assert broken
        assert kept == "the seals" or ("event", length + 1) in broken


@pytest.mark.parametrize(("cut", "head"), [(0, "x"), (2, "x"), (2, "of before"), (0, "gone"), (4, "gone")])
def test_a_rewritten_audit_log_stays_broken_when_entries_follow(cut: int, head: str) -> None:
    for number in range(4):
        audit_log.record_by(UserFactory.create().pk, None, AuditEntry.Kind.KEY_SET, f"Account {number}")
    assert audit_log.check()[1] is None
    before = AuditHead.objects.get()
    last_hash = ""
    with db_triggers.disabled(connection):
        kept = list(AuditEntry.objects.order_by("number"))[: 4 - cut]
        AuditEntry.objects.filter(number__gt=len(kept)).delete()
        for entry in kept:
            entry.about, entry.previous_hash = "forged", last_hash
            entry.compute_hash()
            entry.save()
            last_hash = entry.hash
        signature = before.signature if head == "of before" else "x"
        AuditHead.objects.update(number=len(kept), hash=last_hash, signature=signature)
        if head == "gone":
            AuditHead.objects.all().delete()
    assert audit_log.check()[1] is not None
    for number in range(2):
        audit_log.record_by(None, None, AuditEntry.Kind.KEY_SET, f"Account {number}")
        wrong = audit_log.check()[1]
        assert wrong is not None
        assert wrong[1] == len(kept) + 1


@pytest.mark.both_databases
def test_a_hold_lasts_until_the_record_states_its_release(ended: StreamingSession) -> None:
    held = erasure.hold(ended.pk, "Litigation", (ended.user_id or 0))
    moments = ["infinity", "-infinity"] if connection.vendor == "postgresql" else ["9999-12-31 00:00:00", "x"]
    for moment in [*moments, "2001-01-01 00:00:00+00:00"]:
        tampering.execute_as_owner(
            "UPDATE avatar_sessions_legalhold SET released_at = %s WHERE id = %s", moment, held.pk
        )
        assert erasure.erase(ended.pk, Erasure.Cause.RETENTION) is None
        assert ("hold", "released_at") in {(fault.table, fault.column) for fault in verification.faults_of(ended.pk)}
    tampering.execute_as_owner("UPDATE avatar_sessions_legalhold SET released_at = NULL WHERE id = %s", held.pk)
    assert verification.faults_of(ended.pk) == []
    erasure.release(held, (ended.user_id or 0))
    assert erasure.erase(ended.pk, Erasure.Cause.RETENTION)
    assert verification.faults_of(ended.pk) == []


def test_an_erasure_during_a_recorded_hold_is_found(ended: StreamingSession, monkeypatch: pytest.MonkeyPatch) -> None:
    held = erasure.hold(ended.pk, "Litigation", (ended.user_id or 0))
    LegalHold.objects.filter(pk=held.pk).update(released_at=timezone.now())
    monkeypatch.setattr(erasure, "is_held", lambda session_id: False)  # a modified portal
    assert erasure.erase(ended.pk, Erasure.Cause.RETENTION)
    assert [(fault.kind, fault.table) for fault in verification.faults_of(ended.pk)] == [
        ("held_erased", "erasure"),
        ("row_changed", "hold"),
    ]


def test_a_record_verifies_while_a_text_is_being_sent(running: StreamingSession) -> None:
    deadlines.accept_task(running.pk, text="Otra", kind=SessionTask.Kind.TALK, user_id=running.user_id, ref="otra")
    assert verification.faults_of(running.pk) == []
