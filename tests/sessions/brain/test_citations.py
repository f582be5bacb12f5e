"""Citations and Markdown are not spoken."""

from __future__ import annotations

import pytest

from sessions.brain.citations import CitedText, take_out


@pytest.mark.parametrize(
    ("sentence", "text", "citations"),
    [
        ("It opens at nine. [1]", "It opens at nine.", (1,)),
        ("It opens at nine [2][1].", "It opens at nine.", (2, 1)),
        ("Both [1, 2] and [2; 3] again [1].", "Both and again.", (1, 2, 3)),
        ("[0] I do not know.", "I do not know.", (0,)),
        ("Made up. [7]", "Made up.", ()),
        ("Keep [sic] this.", "Keep [sic] this.", ()),
        ("- **Bring** your `ID`, see [the list](https://example.com/a_b).", "Bring your ID, see the list.", ()),
        ("## The file_name stays", "The file_name stays", ()),
        ("2 * 3 = 6", "2 * 3 = 6", ()),
    ],
)
def test_a_sentence_is_spoken_without_its_citations(sentence: str, text: str, citations: tuple[int, ...]) -> None:
    assert take_out(sentence, passages=3) == CitedText(text, citations)
