"""Verification names lines whose indexed words were changed.

It also names those whose signature of the words was changed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DataError, transaction
from django.test import override_settings

from heygen_portal.trail.models import AuditEntry
from sessions.integrity import record_upgrade, verification, word_faults
from sessions.integrity.scope import CheckCounts, MemoryLimits
from sessions.models import Erasure, SpeechKey, SpokenWord, StreamingSession, Utterance
from sessions.retention import erasure
from sessions.speech import search as speech_search
from tests.sessions.tampering import ended_session, execute_as_owner
from tests.support.databases import BOTH

LINES, WORDS = "avatar_sessions_utterance", "avatar_sessions_spokenword"
OLD = {"FIELD_ENCRYPTION_KEY": "old", "FIELD_ENCRYPTION_KEY_FALLBACKS": []}
NEW = {"FIELD_ENCRYPTION_KEY": "new", "FIELD_ENCRYPTION_KEY_FALLBACKS": ["old"]}

Found = list[tuple[str, int, str]]


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None, announced: object) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


def add_lines(*texts: str, session: StreamingSession | None = None) -> list[Utterance]:
    session = session or ended_session()
    return [session.utterances.create(who="user", by="text", text=text, source="portal") for text in texts]


def found() -> Found:
    """Return kind, line and column of the faults of the word index."""
    return [
        (fault.kind, int(fault.row), fault.column)
        for fault in verification.faults()
        if fault.table == "line" and fault.column in ("words", "words_signature")
    ]


def rare_mark(line: Utterance) -> int:
    """Return a mark of the line that none of the other lines has."""
    others = SpokenWord.objects.exclude(utterance=line).values("mark")
    mark = line.words.exclude(mark__in=others).values_list("mark", flat=True).first()
    assert mark is not None
    return mark


def delete_word(one: Utterance, _other: Utterance) -> None:
    execute_as_owner(f"DELETE FROM {WORDS} WHERE utterance_id = %s AND mark = %s", one.pk, rare_mark(one))


def delete_words(one: Utterance, _other: Utterance) -> None:
    execute_as_owner(f"DELETE FROM {WORDS} WHERE utterance_id = %s", one.pk)


def add_word(one: Utterance, _other: Utterance) -> None:
    execute_as_owner(f"INSERT INTO {WORDS} (utterance_id, mark) VALUES (%s, 4711)", one.pk)


def move_word(one: Utterance, other: Utterance) -> None:
    execute_as_owner(f"UPDATE {WORDS} SET utterance_id = %s WHERE mark = %s", other.pk, rare_mark(one))


def replace_word(one: Utterance, _other: Utterance) -> None:
    execute_as_owner(f"UPDATE {WORDS} SET mark = 4711 WHERE utterance_id = %s AND mark = %s", one.pk, rare_mark(one))


def empty_signature(one: Utterance, _other: Utterance) -> None:
    execute_as_owner(f"UPDATE {LINES} SET words_signature = '' WHERE id = %s", one.pk)


def copy_signature(one: Utterance, other: Utterance) -> None:
    execute_as_owner(f"UPDATE {LINES} SET words_signature = %s WHERE id = %s", other.words_signature, one.pk)


def empty_both(one: Utterance, other: Utterance) -> None:
    delete_words(one, other)
    empty_signature(one, other)


def copy_both(one: Utterance, other: Utterance) -> None:
    delete_words(one, other)
    execute_as_owner(f"INSERT INTO {WORDS} (utterance_id, mark) SELECT %s, mark FROM {WORDS} WHERE utterance_id = %s",
                     one.pk, other.pk)  # fmt: skip
    copy_signature(one, other)


LOST, OTHERS, UNSIGNED = ("unindexed", "words"), ("misindexed", "words"), ("row_changed", "words_signature")


@pytest.mark.both_databases
def test_a_changed_line_is_named_with_its_column() -> None:
    changes: list[tuple[Callable[[Utterance, Utterance], None], list[tuple[str, str]]]] = [
        (delete_word, [LOST]),
        (delete_words, [LOST]),
        (add_word, [OTHERS]),
        (move_word, [LOST, OTHERS]),
        (replace_word, [LOST]),
        (empty_signature, [UNSIGNED]),
        (copy_signature, [UNSIGNED]),
        (empty_both, [LOST]),
        (copy_both, [LOST]),
    ]
    record_upgrade.upgrade()
    add_lines("Buenos días")
    expected: Found = []
    for change, faults in changes:
        one, other = add_lines(f"La {change.__name__} de mi madre", "Hasta luego")
        change(one, other)
        expected += [(kind, line.pk, column) for (kind, column), line in zip(faults, (one, other), strict=False)]
    add_lines("Buenas noches")
    assert found() == expected


def test_lines_without_words_are_signed_too() -> None:
    record_upgrade.upgrade()
    empty, added, _intact = add_lines("¿…?", "¡!", "…")
    empty_signature(empty, empty)
    add_word(added, added)
    assert found() == [("row_changed", empty.pk, "words_signature"), ("misindexed", added.pk, "words")]


def test_text_does_not_replace_several_words() -> None:
    (line,) = add_lines("La diabetes de mi madre")
    joined = "\n".join(map(str, sorted(line.words.values_list("mark", flat=True))))
    delete_words(line, line)
    with suppress(DataError):  # PostgreSQL stores no text in a column of numbers
        execute_as_owner(f"INSERT INTO {WORDS} (utterance_id, mark) VALUES (%s, %s)", line.pk, joined)
    assert found() == [("unindexed", line.pk, "words")]


@pytest.mark.parametrize("value", ["", "x", "0.0", "é.ñ"])
def test_an_invalid_signature_is_named(value: str) -> None:
    record_upgrade.upgrade()
    one, _other = add_lines("Hola", "Adiós")
    execute_as_owner(f"UPDATE {LINES} SET words_signature = %s WHERE id = %s", value, one.pk)
    assert found() == [("row_changed", one.pk, "words_signature")]


def unsigned(*texts: str) -> list[Utterance]:
    """Store lines as earlier versions did."""
    lines = add_lines(*texts)
    Utterance._base_manager.filter(pk__in=[line.pk for line in lines]).update(words_signature="")
    return lines


def test_a_line_of_an_earlier_version_is_covered_once_the_index_is_rebuilt() -> None:
    lost, partly, mute = unsigned("Buenos días", "La diabetes de mi madre", "¿…?")
    delete_words(lost, lost)
    delete_word(partly, partly)
    counts = CheckCounts()
    assert [fault.row for fault in verification.faults(counts) if fault.column == "words"] == [str(lost.pk)]
    assert counts.covered()["unstated"]["line.words_signature"] == 3
    record_upgrade.upgrade()
    later, *_rest = add_lines("Hasta luego")
    empty_signature(later, later)
    assert found() == [("unindexed", lost.pk, "words"), ("row_changed", later.pk, "words_signature")]
    call_command("rebuild_word_index", again=True)
    assert found() == []
    for line in (partly, mute):
        empty_signature(line, line)
    assert found() == [("row_changed", line.pk, "words_signature") for line in (partly, mute)]


def test_the_audit_log_states_once_from_when_lines_are_signed() -> None:
    first, last = unsigned("Hola", "Adiós")
    add_lines("Hasta luego")
    record_upgrade.upgrade()
    record_upgrade.upgrade()
    assert stated() == [last.pk + 1]
    call_command("rebuild_word_index", again=True)
    call_command("rebuild_word_index", again=True)
    assert stated() == [last.pk + 1, 0]
    empty_signature(first, first)
    record_upgrade.upgrade()
    assert found() == [("row_changed", first.pk, "words_signature")]


def stated() -> list[int]:
    entries = AuditEntry.objects.filter(kind="record_upgraded").order_by("number")
    return [entry.data["words_signed_from_line"] for entry in entries if "words_signed_from_line" in entry.data]


def test_words_and_signatures_of_erased_speech_are_deleted_and_named_if_they_return() -> None:
    record_upgrade.upgrade()
    one, other = add_lines("La diabetes", "de mi madre")
    kept = one.words_signature
    assert kept
    assert erasure.erase(one.session_id, Erasure.Cause.STAFF, None)
    assert set(Utterance.objects.values_list("words_signature", flat=True)) == {""}
    call_command("rebuild_word_index", again=True)
    assert found() == []
    execute_as_owner(f"UPDATE {LINES} SET words_signature = %s WHERE id = %s", kept, one.pk)
    add_word(other, other)
    assert found() == [("row_changed", one.pk, "words_signature"), ("words_kept", other.pk, "words")]


def test_a_rebuild_leaves_unreadable_lines_as_they_are() -> None:
    unread, changed, damaged = (add_lines(text)[0] for text in ("Hola", "Buenos días", "Adiós"))
    SpeechKey.objects.filter(session__in=[unread.session_id, changed.session_id]).update(wrapped=b"\0" * 64)
    execute_as_owner(f"UPDATE {LINES} SET words_signature = '' WHERE id = %s", unread.pk)
    Utterance._base_manager.filter(pk=damaged.pk).update(sealed=b"short")
    call_command("rebuild_word_index", again=True)
    assert found() == []
    add_word(changed, changed)
    delete_word(damaged, damaged)
    assert found() == [("misindexed", line.pk, "words") for line in (changed, damaged)]


def test_words_under_a_retired_key_count_until_the_index_is_rebuilt() -> None:
    with override_settings(**OLD):
        (line,) = add_lines("La diabetes de mi madre")
        before = [(word.mark, word.utterance_id) for word in line.words.all()]
    with override_settings(**NEW):
        assert found() == []
        delete_word(line, line)
        assert found() == [("unindexed", line.pk, "words")]
        call_command("rebuild_word_index")
        assert found() == []
        delete_words(line, line)
        SpokenWord.objects.bulk_create(SpokenWord(mark=mark, utterance_id=pk) for mark, pk in before)
        copy_signature(line, line)  # what an older backup holds
        assert not speech_search.matching(Utterance.objects.all(), "diabetes")
        assert found() == [("unindexed", line.pk, "words")]


@pytest.mark.both_databases
def test_lines_are_read_in_batches() -> None:
    lines = add_lines(*(f"Línea {number} de mi madre" for number in range(5)))
    for line in (lines[1], lines[4]):
        delete_word(line, line)
    counts = CheckCounts()
    with transaction.atomic():
        Utterance._base_manager.filter(pk=lines[2].pk)._raw_delete("default")  # its words stay
        rows = [fault.row for fault in word_faults.faults(counts, MemoryLimits(batch_rows=2))]
        transaction.set_rollback(True)
    assert rows == [str(lines[1].pk), str(lines[4].pk)]
    assert counts.rows["word"] == SpokenWord.objects.exclude(utterance=lines[2]).count()


def test_an_erasure_meanwhile_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = add_lines("La diabetes de mi madre")
    read: Any = word_faults._read_lines

    def read_and_erase(*values: Any) -> Any:
        lines = read(*values)
        erasure.erase(line.session_id, Erasure.Cause.STAFF, None)
        return lines

    monkeypatch.setattr(word_faults, "_read_lines", read_and_erase)
    assert not list(word_faults.faults(CheckCounts(), MemoryLimits()))
    assert Erasure.objects.exists()
