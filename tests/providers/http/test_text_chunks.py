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
