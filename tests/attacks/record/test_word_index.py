"""The word index is bounded, and marks do not reveal other people's words."""

from __future__ import annotations

import random

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from sessions.actions import queries
from sessions.models import SpeechKey, SpokenWord, StreamingSession, Utterance, WordIndexRebuild, word_index
from sessions.speech import search as speech_search
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db

OLD = {"FIELD_ENCRYPTION_KEY": "old", "FIELD_ENCRYPTION_KEY_FALLBACKS": []}
NEW = {"FIELD_ENCRYPTION_KEY": "new", "FIELD_ENCRYPTION_KEY_FALLBACKS": ["old"]}
MAX_MARKS = 1500


def add_line(session: StreamingSession, text: str) -> Utterance:
    line: Utterance = session.utterances.create(who="user", by="text", text=text, source="portal")
    return line


def marks(line: Utterance) -> set[int]:
    return set(line.words.values_list("mark", flat=True))


def index_with_shared_marks(line: Utterance) -> None:
    """Index a line as earlier versions did, with marks shared by all people."""
    line.words.all().delete()
    rows = [SpokenWord(utterance=line, mark=mark) for mark in word_index.shared_marks_of_line(line.text)]
    SpokenWord.objects.bulk_create(rows)


def search(query: str) -> list[str]:
    return [row.text for row in speech_search.matching(Utterance.objects.all(), query)]


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("\u3316" * 3000, 40),  # NFKD turns each into six letters without a space
        ("\ufdfa" * 10_000, 40),  # NFKD turns each into eighteen letters
        ("x" * 10_000, 40),
        ("㌖a ㌖b ㌖c " * 1000, 100),
        (" ".join(f"{random.Random(n).getrandbits(60):015x}" for n in range(600)), MAX_MARKS),
        (" ".join(f"{n:05d}" for n in range(1600)), MAX_MARKS),
        (" ".join(chr(0x4E00 + n) for n in range(5000)), MAX_MARKS),
        ("a" + "\u0301" * 9999, 1),
    ],
    ids=["squares", "ligatures", "one-long", "mixed", "random", "many", "single-letters", "accents"],
)
def test_the_number_of_marks_of_a_line_is_bounded(text: str, most: int) -> None:
    assert 0 < len(marks(add_line(StreamingSessionFactory.create(), text))) <= most


def test_whole_words_are_indexed_before_their_prefixes() -> None:
    words = [f"{n:015d}" for n in range(600)]
    add_line(StreamingSessionFactory.create(), " ".join(words))
    assert search(words[0])
    assert search(words[-1])


@pytest.mark.parametrize("word", ["Donaudampfschifffahrtsgesellschaftskapitän", "a" * 300, "㌖" * 20])
def test_a_long_word_is_found(word: str) -> None:
    add_line(StreamingSessionFactory.create(), word)
    assert search(word) == [word]


@pytest.mark.parametrize("word", ["diabetes", "Contraseña", "dia", "600123456"])
def test_one_persons_marks_do_not_match_another_persons_lines(word: str) -> None:
    mine, theirs = add_line(StreamingSessionFactory.create(), word), add_line(StreamingSessionFactory.create(), word)
    assert marks(mine)
    assert not SpokenWord.objects.filter(utterance=theirs, mark__in=marks(mine)).exists()
    assert marks(mine) == marks(add_line(mine.session, word))  # marks are equal across sessions of one person


def test_staff_search_all_lines_and_people_their_own() -> None:
    mine, theirs = (add_line(StreamingSessionFactory.create(), "La diabetes de mi madre") for _ in range(2))
    assert len(search("diabetes madre")) == 2
    lines = Utterance.objects.all()
    assert list(speech_search.matching(lines, "diabetes", people=[(mine.session.user_id or 0)])) == [mine]
    found_by_them = queries.sessions_of_user(theirs.session.user_id or 0, query="diabetes")
    assert [session.pk for session in found_by_them] == [theirs.session_id]


@pytest.mark.parametrize("words", [20, 1000])
def test_a_search_for_many_words_uses_few_queries(
    words: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    add_line(StreamingSessionFactory.create(), " ".join(f"palabra{n}" for n in range(12)))
    with django_assert_max_num_queries(10):
        assert search(" ".join(f"palabra{n % 12}" for n in range(words)))


def test_lost_marks_are_restored_by_indexing_every_line_again() -> None:
    session = StreamingSessionFactory.create()
    add_line(session, "La contraseña")
    call_command("rebuild_word_index")
    SpokenWord.objects.filter(utterance__session=session).delete()
    call_command("rebuild_word_index")
    assert not search("contraseña")
    call_command("rebuild_word_index", again=True)
    assert search("contraseña")
    call_command("rebuild_word_index", check=True)


def test_a_new_portal_needs_no_reindexing_until_a_key_is_retired() -> None:
    add_line(StreamingSessionFactory.create(), "La contraseña")
    call_command("rebuild_word_index", check=True)
    with override_settings(**OLD):
        add_line(StreamingSessionFactory.create(), "palabra")
        call_command("rebuild_word_index", check=True)
    with override_settings(**NEW):
        with pytest.raises(CommandError, match="2 lines are left"):
            call_command("rebuild_word_index", check=True)
        call_command("rebuild_word_index")
        call_command("rebuild_word_index", check=True)


def pretend_upgraded() -> None:
    """Make this a portal with lines from before marks had a key per person."""
    WordIndexRebuild.objects.all().delete()


def test_older_lines_are_found_before_and_after_reindexing() -> None:
    pretend_upgraded()
    first, second = (add_line(StreamingSessionFactory.create(), "La contraseña") for _ in range(2))
    for each in (first, second):
        index_with_shared_marks(each)
    assert marks(first) == marks(second)
    assert len(search("contrasena")) == 2
    with pytest.raises(CommandError, match="2 lines are left"):
        call_command("rebuild_word_index", check=True)
    call_command("rebuild_word_index")
    assert len(search("contrasena")) == 2
    assert not marks(first) & marks(second)
    call_command("rebuild_word_index", check=True)


def test_an_interrupted_rebuild_continues_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_search, "REBUILD_BATCH_LINES", 2)
    pretend_upgraded()
    lines = [add_line(StreamingSessionFactory.create(), f"palabra{n}") for n in range(5)]
    for each in lines:
        index_with_shared_marks(each)
    assert speech_search.rebuild_batch() == 2
    assert len(search("palabra")) == 5
    assert speech_search.left_to_rebuild() == 3
    done: list[int] = []
    while count := speech_search.rebuild_batch():
        done.append(count)
    assert done == [2, 1]
    assert speech_search.rebuild_batch() == 0
    assert len(search("palabra")) == 5


def test_a_rebuild_skips_erased_and_unreadable_lines() -> None:
    erased, unreadable, kept = (add_line(StreamingSessionFactory.create(), "palabra") for _ in range(3))
    erased.words.all().delete()
    SpeechKey.objects.filter(session=erased.session).update(wrapped=b"", erased_at=timezone.now())
    SpeechKey.objects.filter(session=unreadable.session).update(wrapped=b"\0" * 64)
    before = marks(unreadable)
    call_command("rebuild_word_index")
    assert not marks(erased)
    assert marks(unreadable) == before
    assert marks(kept)


def test_after_a_key_change_both_keys_are_searched_until_reindexing_is_complete() -> None:
    with override_settings(**OLD):
        line = add_line(StreamingSessionFactory.create(), "palabra")
        old_marks = marks(line)
        call_command("rebuild_word_index")
    with override_settings(**NEW):
        assert search("palabra")
        call_command("rebuild_word_index")
        assert search("palabra")
        assert not marks(line) & old_marks
        assert WordIndexRebuild.objects.count() == 1
    with override_settings(FIELD_ENCRYPTION_KEY="new", FIELD_ENCRYPTION_KEY_FALLBACKS=["never"]):
        assert speech_search.keys_in_use() == speech_search.keys_in_use()[:1]


@pytest.mark.usefixtures("postgres")
@pytest.mark.django_db(transaction=True)
def test_search_works_on_postgresql() -> None:
    assert connection.vendor == "postgresql"
    sessions = [StreamingSessionFactory.create() for _ in range(3)]
    for session in sessions:
        add_line(session, "La diabetes de mi madre")
    assert len(search("diabetes madre")) == 3
    call_command("rebuild_word_index")
    assert len(search("diab madre")) == 3


def test_lines_indexed_by_an_earlier_version_are_indexed_again_and_can_be_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A line that has no pairs of characters yet is found once the command has run."""
    session = StreamingSessionFactory.create()
    lines = [add_line(session, "今日は天気がいい") for _number in range(3)]
    WordIndexRebuild.objects.all().delete()
    WordIndexRebuild.objects.create(key_id="", format=1, finished_at=timezone.now())
    SpokenWord.objects.all().delete()
    assert speech_search.left_to_rebuild() == 3
    with pytest.raises(CommandError):
        call_command("rebuild_word_index", check=True)
    monkeypatch.setattr(speech_search, "REBUILD_BATCH_LINES", 2)
    assert speech_search.rebuild_batch() == 2
    assert speech_search.left_to_rebuild() == 1
    call_command("rebuild_word_index")
    assert speech_search.left_to_rebuild() == 0
    assert set(speech_search.matching(Utterance.objects.all(), "天気")) == set(lines)


def test_an_index_of_an_earlier_format_is_begun_again() -> None:
    add_line(StreamingSessionFactory.create(), "天気")
    call_command("rebuild_word_index")
    assert speech_search.left_to_rebuild() == 0
    WordIndexRebuild.objects.update(format=1)
    assert speech_search.left_to_rebuild() == 1
