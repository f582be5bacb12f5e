from __future__ import annotations

from avatars.documents.chunks import MAX_CHARACTERS, split
from avatars.documents.parsing import Block


def test_passages_follow_headings_and_keep_page_and_anchor() -> None:
    passages = list(
        split(
            [
                Block("Contract", 1, 1),
                Block("Signed in May.", page=1, anchor="a"),
                Block("Ends", 2, 1),
                Block("After a year.", page=1),
                Block("Or earlier.", page=2),
                Block("Costs", 1, 2),
                Block("None.", page=2),
            ]
        )
    )
    assert [(each.heading, each.page, each.anchor, each.text) for each in passages] == [
        ("Contract", 1, "a", "Signed in May."),
        ("Contract › Ends", 1, "", "After a year."),
        ("Contract › Ends", 2, "", "Or earlier."),
        ("Costs", 2, "", "None."),
    ]


def test_long_texts_are_cut_where_sentences_end() -> None:
    sentence = "A lesson of one hour costs twenty euros, and a course of ten of them costs less. "
    passages = [each.text for each in split([Block(sentence * 40)])]
    assert len(passages) > 2
    assert all(len(text) <= MAX_CHARACTERS and text.endswith("less.") for text in passages)
    assert " ".join(passages).split() == (sentence * 40).split()


def test_text_without_sentences_is_cut_all_the_same() -> None:
    assert max(len(each.text) for each in split([Block("x" * 5000), Block("word " * 2000)])) <= MAX_CHARACTERS
