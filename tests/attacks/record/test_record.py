"""Verification names the row and column that was tampered with."""

from __future__ import annotations

import threading
import weakref
import zlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from django.db import connection
from django.db.models.sql import compiler
from django.utils import timezone

from heygen_portal.trail import audit_log, db_triggers
from heygen_portal.trail.models import AuditEntry
from sessions.costs import ledger
from sessions.exports import list_export
from sessions.integrity import anchors, nightly_check, scope, verification
from sessions.lifecycle import events
from sessions.lifecycle.events import Entry
from sessions.models import (
    DayTotal,
    Erasure,
    Export,
    HistoryCheck,
    LegalHold,
    SessionTotal,
    SpeechKey,
    StreamingSession,
    Utterance,
)
from sessions.retention import erasure
from tests.sessions.integrity.test_tampering_columns import World, built_worlds, world
from tests.sessions.tampering import ended_session, running_session
from tests.support.databases import BOTH
from tests.support.factories import user_of

__all__ = ["built_worlds", "world"]


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


def found() -> set[tuple[str, str]]:
    return {(fault.table, fault.column) for fault in verification.faults()}


def lines(world: World) -> list[Utterance]:
    return list(Utterance.objects.filter(session=world.session).order_by("pk"))


def test_a_line_moved_to_another_speaker_is_found_and_unreadable(world: World) -> None:
    for line in lines(world):
        other = "user" if line.who == "avatar" else "avatar"
        Utterance.objects.filter(pk=line.pk).update(who=other)
    assert ("line", "who") in found()
    with pytest.raises(InvalidTag):
        _ = lines(world)[0].text


def test_swapped_texts_are_found_and_unreadable(world: World) -> None:
    one, other = lines(world)[:2]
    Utterance.objects.filter(pk=one.pk).update(sealed=other.sealed)
    Utterance.objects.filter(pk=other.pk).update(sealed=one.sealed)
    assert ("line", "sealed") in found()
    for line in lines(world)[:2]:
        with pytest.raises(InvalidTag):
            _ = line.text


@pytest.mark.parametrize(
    ("column", "value"),
    [("at", "2001-01-01T00:00:00Z"), ("source", "browser"), ("is_interrupted", True), ("by", "voice")],
)
def test_a_changed_column_of_a_typed_line_is_found(world: World, column: str, value: Any) -> None:
    Utterance.objects.filter(pk=lines(world)[0].pk).update(**{column: value})
    assert found() == {("line", column)}


def test_a_deleted_or_forged_typed_line_is_found(world: World) -> None:
    typed = lines(world)[0]
    typed.words.all().delete()
    Utterance.objects.filter(pk=typed.pk).delete()
    assert [fault.kind for fault in verification.faults()] == ["row_deleted"]
    Utterance.objects.create(session=world.session, who="user", by="text", text="Acepto", source="portal")
    assert {fault.kind for fault in verification.faults()} == {"row_deleted", "row_added"}


@pytest.mark.parametrize(
    ("column", "value"),
    [("end_reason", "provider_ended"), ("end_evidence", {"code": "no"}), ("provider_session_id", "theirs"),
     ("live_at", None), ("ended_at", "2001-01-01T00:00:00Z"), ("persona_settings", {"greeting": "No"})],
)  # fmt: skip
def test_a_changed_column_of_a_session_is_found(world: World, column: str, value: Any) -> None:
    StreamingSession.objects.filter(pk=world.session.pk).update(**{column: value})
    # The end of the conversation is compared with that of its session.
    assert found() == {("session", column), *([("conversation", column)] if column == "ended_at" else [])}


def test_a_key_destroyed_without_a_receipt_is_found(world: World) -> None:
    SpeechKey.objects.filter(pk=world.session.pk).update(wrapped=b"", erased_at=timezone.now())
    assert found() == {("speech_key", "erased_at")}


@pytest.mark.parametrize("moved", [timedelta(days=-400), timedelta(microseconds=1)])
def test_another_time_of_erasure_is_found(world: World, moved: timedelta) -> None:
    key = SpeechKey.objects.get(pk=world.other.pk)
    assert key.erased_at
    SpeechKey.objects.filter(pk=world.other.pk).update(erased_at=key.erased_at + moved)
    assert found() == {("speech_key", "erased_at")}


def test_a_key_of_another_session_is_found(world: World) -> None:
    key = SpeechKey.objects.get(pk=world.session.pk)
    SpeechKey.objects.filter(pk=world.session.pk).update(wrapped=bytes(key.wrapped)[:-1] + b"x")
    assert found() == {("speech_key", "wrapped")}


def test_a_deleted_or_forged_legal_hold_is_found(world: World) -> None:
    LegalHold.objects.filter(session=world.session).delete()
    assert found() == {("hold", "")}
    LegalHold.objects.create(session=world.session, reason="None", by=user_of(world.session))
    assert {fault.kind for fault in verification.faults()} == {"row_deleted", "row_added"}


def test_a_provider_price_added_to_a_cost_is_found() -> None:
    session = ended_session()
    ledger.book_all()
    assert found() == set()
    SessionTotal.objects.filter(session=session.pk).update(provider_credits=0)
    assert found() == {("total", "provider_credits")}


def test_a_cost_set_to_zero_and_changed_daily_totals_are_found(world: World) -> None:
    SessionTotal.objects.filter(pk=world.session.pk).update(estimated=0)
    assert ("total", "estimated") in found()
    DayTotal.objects.update(time=timedelta(hours=9))
    assert ("day_total", "time") in found()


@pytest.mark.parametrize("left", ["nothing", "an empty file", "the first line", "lines of another database"])
def test_a_lost_anchors_file_is_not_overwritten(left: str, tmp_path: Path, settings: Any, announced: object) -> None:
    path = tmp_path / "anchors"
    settings.HISTORY_ANCHOR_FILE = str(path)
    for number in range(2):
        ended_session()
        audit_log.record(None, AuditEntry.Kind.KEY_SET, f"Account {number}")
        assert anchors.write(timezone.now() + anchors.SEAL_SETTLING_TIME)
    first, second = path.read_text().splitlines()
    match left:
        case "nothing":
            path.unlink()
        case "an empty file":
            path.write_text("")
        case "the first line":
            path.write_text(first + "\n")
        case _:
            path.write_text(first + "\n" + second.replace('"hash": "', '"hash": "0') + "\n")
    before = path.read_text() if path.exists() else None
    check = nightly_check.check_record(timezone.now())
    assert [fault["how"] for fault in check.faults] == ["anchors_lost"]
    assert (path.read_text() if path.exists() else None) == before


@pytest.mark.both_databases
def test_a_record_verifies_after_erasure(world: World) -> None:
    assert erasure.erase(world.session.pk, Erasure.Cause.RETENTION)
    assert list(verification.faults()) == []
    assert db_triggers.missing(connection) == []


@pytest.mark.parametrize("stated", [scope.STATED_ROWS_IN_MEMORY, 8, pytest.param(2, marks=pytest.mark.proof)])
def test_tampered_exports_and_checks_are_found_in_any_number_of_passes(world: World, stated: int) -> None:
    limits = scope.MemoryLimits(batch_rows=2, stated_rows=stated)
    assert list(verification.faults(limits=limits)) == []
    first, second, _third = HistoryCheck.objects.order_by("pk")
    HistoryCheck.objects.filter(pk=first.pk).delete()
    HistoryCheck.objects.filter(pk=second.pk).update(fault_count=0, sessions=1)
    HistoryCheck.objects.create(fault_count=7)
    made_up = Export.objects.get(session=None)
    made_up.pk, made_up.reason = None, "Theirs"
    made_up.save(force_insert=True)
    assert sorted(
        (fault.kind, fault.table, fault.row, fault.column) for fault in verification.faults(limits=limits)
    ) == [
        ("row_added", "check", str(HistoryCheck.objects.get(fault_count=7).pk), ""),
        ("row_added", "export", made_up.pk.hex, ""),
        ("row_changed", "check", str(second.pk), "sessions"),
        ("row_deleted", "check", str(first.pk), ""),
    ]


@pytest.mark.both_databases
def test_an_exports_progress_may_change_only_until_it_is_done(
    world: World, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    monkeypatch.setattr(list_export, "MAX_STREAMED_ROWS", 1)
    monkeypatch.setattr(list_export, "PAGE_ROWS", 2)
    staff = user_of(world.session).pk
    export = list_export.request_export(staff, None, Export.What.SESSIONS, Export.Format.CSV)
    assert list(verification.faults()) == []
    list_export._claim(export.pk)
    assert list(verification.faults()) == []
    while list_export.continue_writing(export.pk, 0):
        assert list(verification.faults()) == []
    assert Export.objects.get(pk=export.pk).state == Export.State.READY
    assert list(verification.faults()) == []
    Export.objects.filter(pk=export.pk).update(state=Export.State.WRITING)
    assert found() == {("export", "state")}
    Export.objects.filter(pk=export.pk).update(state=Export.State.READY)
    list_export.delete_files(Export.objects.all())
    assert list(verification.faults()) == []


@pytest.mark.parametrize("stated", [scope.STATED_ROWS_IN_MEMORY, 4])
def test_a_session_is_compared_in_several_passes_when_memory_is_limited(
    world: World, stated: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = scope.MemoryLimits(batch_rows=2, stated_rows=stated)
    assert list(verification.faults(limits=limits)) == []
    first, second, third = lines(world)[:3]
    Utterance.objects.filter(pk=first.pk).update(is_interrupted=not first.is_interrupted)
    second.words.all().delete()
    Utterance.objects.filter(pk=second.pk).delete()
    Utterance.objects.filter(pk=third.pk).update(at="2001-01-01T00:00:00Z")
    SessionTotal.objects.filter(pk=world.session.pk).update(estimated=0)
    shares = set()
    is_in_share = scope.is_in_share

    def recording(table: str, key: str, share: int, of: int) -> bool:
        shares.add((share, of))
        return is_in_share(table, key, share, of)

    monkeypatch.setattr(verification, "is_in_share", recording)
    faults = [fault for fault in verification.faults(limits=limits) if fault.table != "day_total"]
    assert sorted((fault.kind, fault.table, fault.row, fault.column) for fault in faults) == sorted(
        [
            ("row_changed", "line", str(first.pk), "is_interrupted"),
            ("row_deleted", "line", str(second.pk), ""),
            ("row_changed", "line", str(third.pk), "at"),
            ("row_changed", "total", str(world.session.pk), "estimated"),
        ]
    )
    most = max((of for _share, of in shares), default=1)
    assert (most > 1) == (stated < scope.STATED_ROWS_IN_MEMORY)
    assert {share for share, of in shares if of == most} >= set(range(1, most))


class CountedText(str):
    """A text read from the database. Counts itself for as long as anything holds it."""

    held, most_held = 0, 0

    def __init__(self, _value: str) -> None:
        CountedText.held += 1
        CountedText.most_held = max(CountedText.most_held, CountedText.held)

    def __del__(self) -> None:
        CountedText.held -= 1


@pytest.fixture
def counted_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count every text that this thread queries."""
    read_rows: Any = compiler.SQLCompiler.results_iter
    thread = threading.get_ident()

    def counted(*args: Any, **options: Any) -> Iterator[Sequence[Any]]:
        for row in read_rows(*args, **options):
            if threading.get_ident() == thread:
                yield tuple(CountedText(cell) if isinstance(cell, str) else cell for cell in row)
            else:
                yield row

    monkeypatch.setattr(compiler.SQLCompiler, "results_iter", counted)


@pytest.fixture
def held_statements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many rows' statements are held after each event read."""
    held: list[int] = []
    passes: weakref.WeakSet[verification.SessionPass] = weakref.WeakSet()
    read_statements = verification.SessionPass._read_statements

    def noted(found: verification.SessionPass, *args: Any) -> None:
        read_statements(found, *args)
        passes.add(found)
        held.append(sum(len(each.stated) for each in passes))

    monkeypatch.setattr(verification.SessionPass, "_read_statements", noted)
    # Equal shares in every process: those of `hash` depend on its seed.
    monkeypatch.setattr(
        verification, "is_in_share", lambda _table, key, share, shares: zlib.crc32(key.encode()) % shares == share
    )
    return held


@pytest.mark.usefixtures("counted_texts")
def test_memory_does_not_grow_with_the_length_of_a_session(held_statements: list[int]) -> None:
    limits = scope.MemoryLimits(batch_rows=50, stated_rows=50)
    session = running_session()
    most = []
    for count in (200, 800):
        for number in range(count):
            events.record(session.pk, Entry("thing", {"n": number, "rows": {"line": {str(number): {"who": "user"}}}}))
        held_statements.clear()
        CountedText.most_held = CountedText.held
        assert len(verification.faults_of(session.pk, limits)) == 20
        most.append((CountedText.most_held, max(held_statements)))
    (texts, statements), (texts_of_more, statements_of_more) = most
    assert texts > 0  # they were counted
    assert texts_of_more < 1.5 * texts
    assert statements_of_more < 1.5 * statements
