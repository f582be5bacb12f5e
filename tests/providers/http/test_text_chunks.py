from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heygen_portal.providers.http.text_chunks import pieces


@given(st.text(), st.integers(1, 40))
def test_nothing_is_lost_and_nothing_is_too_long(text: str, longest: int) -> None:
    parts = pieces(text, longest)
    assert "".join(parts) == text
    assert all(len(part) <= longest for part in parts)
    assert all(parts) or parts == [""]


def test_a_text_is_cut_where_a_voice_would_pause() -> None:
    assert pieces("Uno dos. Tres cuatro. Cinco", 20) == ["Uno dos. ", "Tres cuatro. Cinco"]
    assert pieces("Uno dos, tres cuatro", 12) == ["Uno dos, ", "tres cuatro"]
    assert pieces("abcdef", 4) == ["abcd", "ef"]
