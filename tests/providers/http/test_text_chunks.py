from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heygen_portal.providers.http.text_chunks import split_text


@given(st.text(), st.integers(1, 40))
def test_chunks_join_to_the_text_and_respect_the_maximum(text: str, max_characters: int) -> None:
    chunks = split_text(text, max_characters)
    assert "".join(chunks) == text
    assert all(len(chunk) <= max_characters for chunk in chunks)
    assert all(chunks) or chunks == [""]


def test_a_text_is_split_at_natural_pauses() -> None:
    assert split_text("Uno dos. Tres cuatro. Cinco", 20) == ["Uno dos. ", "Tres cuatro. Cinco"]
    assert split_text("Uno dos, tres cuatro", 12) == ["Uno dos, ", "tres cuatro"]
    assert split_text("abcdef", 4) == ["abcd", "ef"]


def test_scripts_without_spaces_are_split_at_their_own_punctuation() -> None:
    assert split_text("今日は。天気がいい、明日も", 8) == ["今日は。", "天気がいい、", "明日も"]
    assert split_text("كيف حالك؟ أنا بخير", 12) == ["كيف حالك؟ ", "أنا بخير"]


def test_no_character_is_split() -> None:
    family = "👨‍👩‍👧‍👦"
    assert split_text(family * 2, 8) == [family, family]
    assert split_text("e\u0301" * 3, 3) == ["e\u0301"] * 3
    assert split_text("นี้นี้", 5) == ["นี้", "นี้"]
