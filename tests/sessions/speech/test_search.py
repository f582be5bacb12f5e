"""Stored speech is sealed with its session's key and can be searched."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag
from django.core.exceptions import FieldError
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from sessions.models import (
    SessionTask,
    SpeechErased,
    SpeechKey,
    SpokenWord,
    StreamingSession,
    Utterance,
    speech_encryption,
)
from sessions.models.speech import next_primary_key
from sessions.speech import search as speech_search
from tests.support.factories import StreamingSessionFactory

SECRET = "Mi número es el 600 123 456"


def add_line(session: StreamingSession, text: str) -> Utterance:
    line: Utterance = session.utterances.create(who="user", by="text", text=text, source="portal")
    return line


def destroy_key(session: StreamingSession) -> None:
    SpeechKey.objects.filter(session=session).update(wrapped=b"", erased_at=timezone.now())


@pytest.mark.django_db
def test_the_database_contains_no_speech_in_plain_text() -> None:
    session = StreamingSessionFactory.create()
    add_line(session, SECRET)
    session.tasks.create(kind="talk", text=SECRET)
    stored = b""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith("avatar_sessions_"):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                stored += b"".join(v if isinstance(v, bytes) else str(v).encode() for row in cursor for v in row)
    assert stored
    assert not any(word.encode() in stored for word in SECRET.split() if len(word) > 5)
    assert Utterance.objects.get().text == SessionTask.objects.get().text == SECRET


@pytest.mark.django_db
def test_a_hundred_lines_are_read_in_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    session = StreamingSessionFactory.create()
    for number in range(100):
        add_line(session, f"línea {number}")
    with django_assert_num_queries(1):
        assert [row.text for row in session.utterances.all()][::99] == ["línea 0", "línea 99"]


@pytest.mark.django_db
def test_without_its_key_a_text_is_gone_its_fingerprint_stays_and_no_line_can_be_added() -> None:
    session = StreamingSessionFactory.create()
    proof = add_line(session, SECRET).fingerprint
    destroy_key(session)
    row = Utterance.objects.get()
    assert (row.text, row.fingerprint) == ("", proof)
    with pytest.raises(SpeechErased):
        add_line(session, "otra")


@pytest.mark.django_db
def test_texts_cannot_be_queried() -> None:
    with pytest.raises(FieldError):
        Utterance.objects.filter(text__icontains="600").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["numero", "NÚMERO", "123 mi", "número, es el!", "núm", "NUMER 123"])
def test_search_ignores_case_order_and_accents(query: str) -> None:
    session = StreamingSessionFactory.create()
    wanted = add_line(session, SECRET)
    add_line(session, "Otra cosa")
    assert list(speech_search.matching(Utterance.objects.all(), query)) == [wanted]


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "¿?", "nú", "úmero", "número otra"])
def test_search_needs_three_letters_from_the_start_of_words_of_one_line(query: str) -> None:
    session = StreamingSessionFactory.create()
    add_line(session, SECRET)
    add_line(session, "Otra cosa")
    assert not speech_search.matching(Utterance.objects.all(), query).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("今日は天気がいい", ["天気", "今日", "天気がいい", "いい 天気", "今日は天気がいい", "天"]),
        ("我想预约明天的牙医", ["预约", "牙医", "明天 预约"]),
        ("วันนี้อากาศดีมาก", ["อากาศ", "วันนี้", "ดีมาก"]),
        ("iPhoneを買う", ["iphone", "IPHONE", "を買う", "買う"]),
        ("ｶﾀｶﾅのテスト", ["カタカナ", "テスト"]),
        ("मुझे हिन्दी पसंद है", ["हिन्दी", "पसंद"]),
        ("안녕하세요 여러분", ["안녕하세요", "여러분", "안녕"]),
        ("مرحبا، كيف حالك؟", ["مرحبا", "حالك"]),
        ("Cafe\u0301 con leche", ["café", "cafe", "LECHE"]),
        ("¡Gracias! 👍🏽 🇪🇸 👩‍⚕️", ["👍", "👍🏿", "🇪🇸", "gracias 👍", "👩"]),
    ],
)
def test_search_finds_words_of_any_script(text: str, queries: list[str]) -> None:
    session = StreamingSessionFactory.create()
    wanted = add_line(session, text)
    for other in ("明後日は雪が降る", "我们下周见", "พรุ่งนี้ฝนตก", "नमस्ते", "Otra cosa 😀 🇲🇽", "감사합니다", "شكرا"):
        add_line(session, other)
    for query in queries:
        assert list(speech_search.matching(Utterance.objects.all(), query)) == [wanted], query
    assert not speech_search.matching(Utterance.objects.all(), "気天").exists()
    assert not speech_search.matching(Utterance.objects.all(), "हानदा").exists()  # the same consonants as हिन्दी


@pytest.mark.django_db
def test_bulk_created_lines_are_found_once_indexed() -> None:
    session = StreamingSessionFactory.create()
    rows = [Utterance(session=session, who="user", by="text", source="portal", text=text) for text in ("una", "dos")]
    speech_search.index(Utterance.objects.bulk_create(rows))
    speech_search.index(rows)  # indexing twice changes nothing
    assert [row.text for row in speech_search.matching(Utterance.objects.all(), "DOS")] == ["dos"]
    assert SpokenWord.objects.count() == 2


@given(text=st.text())
def test_every_text_round_trips_only_with_its_own_sessions_key(text: str) -> None:
    mine, other = StreamingSession(), StreamingSession()
    key = speech_encryption.new_key(mine.pk)
    sealed = speech_encryption.encrypt(key, mine.pk, text)
    assert speech_encryption.decrypt(key, mine.pk, sealed) == text
    with pytest.raises(InvalidTag):
        speech_encryption.decrypt(key, other.pk, sealed)
    with override_settings(FIELD_ENCRYPTION_KEY="another"), pytest.raises(InvalidTag):
        speech_encryption.decrypt(key, mine.pk, sealed)


@pytest.mark.django_db
def test_words_of_many_lines_are_found_together_with_rare_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a maximum, lines are not listed but looked up in the database."""
    monkeypatch.setattr(speech_search, "MAX_RESOLVED_LINES", 2)
    session = StreamingSessionFactory.create()
    lines = [add_line(session, f"hola {word}") for word in ("casa", "perro", "casa verde", "gato")]
    for query, found in (("hola", {0, 1, 2, 3}), ("hola casa", {0, 2}), ("casa hola verde", {2}), ("hola pez", set())):
        rows = speech_search.matching(Utterance.objects.all(), query)
        assert set(rows.values_list("pk", flat=True)) == {lines[number].pk for number in found}


@pytest.mark.django_db
def test_the_first_reserved_key_of_a_table_is_one() -> None:
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [Utterance._meta.db_table])
    first = next_primary_key(Utterance)
    assert next_primary_key(Utterance) == first + 1
    if connection.vendor == "sqlite":
        assert first == 1


@pytest.mark.django_db
def test_a_line_read_without_its_key_fetches_it() -> None:
    """As verification and exports of raw rows read lines."""
    line = add_line(StreamingSessionFactory.create(), SECRET)
    assert Utterance._base_manager.get(pk=line.pk).text == SECRET
    SpeechKey.objects.all().delete()
    assert Utterance._base_manager.get(pk=line.pk).text == ""
