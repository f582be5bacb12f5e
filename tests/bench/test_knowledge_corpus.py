"""The questions of the corpus fit its documents."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

CORPUS = Path(__file__).parents[2] / "bench" / "knowledge_corpus"
QUESTIONS: list[dict[str, Any]] = yaml.safe_load((CORPUS / "questions.yaml").read_text())
ANSWERED = [question for question in QUESTIONS if question["document"]]


def flat(text: str) -> str:
    return " ".join(text.split())


def sections(document: str) -> list[str]:
    return re.split(r"(?m)^(?=## )", (CORPUS / document).read_text())


def topics(text: str) -> set[str]:
    """Return the first five letters of each long word, and the numbers."""
    plain = "".join(char for char in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(char))
    words = re.findall(r"[a-z0-9]+", plain)
    return {word[:5] for word in words if len(word) > 3 or word.isdigit()}


@pytest.mark.parametrize("language", ["en", "es"])
def test_each_language_has_its_share(language: str) -> None:
    mine = [question for question in QUESTIONS if question["language"] == language]
    answered = [question for question in mine if question["document"]]
    assert [question["id"] for question in mine] == [f"{language}-{number:03}" for number in range(1, 101)]
    assert (len(answered), sum(question["hard"] for question in answered)) == (80, 30)
    assert not any(question["hard"] or question["passage"] for question in mine if question not in answered)
    assert {question["document"] for question in answered} == {
        f"{language}/{path.name}" for path in (CORPUS / language).glob("*.md")
    }


def test_one_section_holds_the_passage() -> None:
    found = {
        question["id"]: sum(flat(question["passage"]) in flat(section) for section in sections(question["document"]))
        for question in ANSWERED
    }
    assert {key: count for key, count in found.items() if count != 1} == {}


def test_no_section_is_asked_about_more_than_twice() -> None:
    asked = Counter(
        (question["document"], number)
        for question in ANSWERED
        for number, section in enumerate(sections(question["document"]))
        if flat(question["passage"]) in flat(section)
    )
    assert max(asked.values()) <= 2


def test_hard_questions_share_at_most_one_word_with_their_passage() -> None:
    shared = {
        question["id"]: topics(question["question"]) & topics(question["passage"])
        for question in ANSWERED
        if question["hard"]
    }
    assert {key: words for key, words in shared.items() if len(words) > 1} == {}
