"""Sentences are cut from a stream as soon as they are whole."""

from __future__ import annotations

import pytest

from sessions.brain.sentences import SentenceCutter, is_whole


def cut(text: str, step: int, language: str = "en", longest: int = 300) -> list[str]:
    cutter = SentenceCutter(language, longest)
    found = [each for at in range(0, len(text), step) for each in cutter.feed(text[at : at + step])]
    return [*found, *cutter.end()]


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Dr. Smith charges 3.50 a page.", "See www.example.com, e.g. Prices!", "OK?"]),
        ("en", ["It closed at 5 p.m. on Monday.", "It opens at 9 a.m.", "Bring ID."]),
        ("en", ["J. R. Hartley wrote it.", "He said “Yes.”", "Then… nothing.", "Done..."]),
        ("es", ["La Sra. Gil atiende en la Avda. Mayor núm. 3.", "¿Vale?", "¡Claro!", "EE. UU. queda lejos."]),
        ("es", ["Espera… no es así.", "Cuesta 1.250,50 €.", "«Perfecto.»", "Adiós."]),
        ("de", ["Am 3. Mai ist z.B. Markt.", "Das war 2019.", "Gut."]),
        ("en", ["Both are from May. [1]", "One was released.[2][3]", "Ask us [1, 2]."]),
        ("ar", ["هل أنت بخير؟", "نعم."]),
        ("hi", ["यह है।", "ठीक है।"]),
    ],
)
def test_text_is_cut_between_sentences(language: str, sentences: list[str], step: int) -> None:
    assert cut(" ".join(sentences), step, language) == sentences


@pytest.mark.parametrize("step", [1, 2, 1000])
def test_scripts_without_spaces_end_sentences_too(step: int) -> None:
    assert cut("今日は晴れです。[1]明日は雨？「はい。」さようなら！", step, "ja") == [
        "今日は晴れです。[1]",
        "明日は雨？",
        "「はい。」",
        "さようなら！",
    ]


def test_lines_of_a_list_are_sentences() -> None:
    assert cut("You need:\n1. Your ID\n2. A photo.\n", 4) == ["You need:", "1. Your ID", "2. A photo."]


def test_a_sentence_comes_out_when_the_next_one_begins() -> None:
    cutter = SentenceCutter("en")
    assert cutter.feed("It opens at nine.") == []  # it may be cited
    assert cutter.feed(" [") == []
    assert cutter.feed("1]") == []  # by another passage, too
    assert cutter.feed(" W") == ["It opens at nine. [1]"]
    assert cutter.feed("e close at two") == []
    assert cutter.end() == ["We close at two"]


def test_a_text_without_an_end_is_cut_at_a_pause() -> None:
    words = "and so on, " * 20
    pieces = cut(words, 5, longest=60)
    assert all(0 < len(piece) <= 60 for piece in pieces)
    assert " ".join(pieces) == words.strip()
    assert all(piece.endswith(",") for piece in pieces)


def test_a_text_without_pauses_is_cut_all_the_same() -> None:
    assert cut("ข" * 130, 7, "th", longest=50) == ["ข" * 50, "ข" * 50, "ข" * 30]
    assert "".join(cut("e\u0301" * 60, 7, longest=25)) == "e\u0301" * 60
    assert not any(piece.startswith("\u0301") for piece in cut("e\u0301" * 60, 7, longest=25))


@pytest.mark.parametrize(
    ("text", "is_so"), [("Yes.", True), ("Yes. [1]", True), ("«¿Sí?»", True), ("好。", True), ("We open at", False)]
)
def test_a_whole_sentence_has_an_end(text: str, is_so: bool) -> None:
    assert is_whole(text) is is_so
