from __future__ import annotations

from uuid import uuid4

import pytest

from avatars.documents import unanswered, written_answers
from avatars.documents.search import Passage, search
from avatars.models import Library, UnansweredQuestion, WrittenAnswer
from heygen_portal.trail.change_log import SERVER
from tests.avatars.documents.uploads import upload

GUIDE = """# Billing

A second charge is a reservation. It disappears within five working days.

## Refunds

To claim a double charge, send us the invoice number. Refunds take two weeks.

# Opening hours

We are open from nine to five, and closed on Sunday.
"""
PRICES = "Curso;Precio\nYoga para niños;20 € al mes\nNatación;35 € al mes\n"


def find(library: Library, question: str, language: str = "en") -> list[Passage]:
    return search(library.pk, library.version, question, language=language)


@pytest.mark.both_databases
def test_the_passage_that_answers_is_found_first(library: Library) -> None:
    upload(library, "Billing guide.md", GUIDE)
    found = find(library, "How long does a refund take?")
    assert found[0].text.startswith("To claim a double charge")
    assert (found[0].document_title, found[0].heading, found[0].anchor) == ("Billing", "Billing › Refunds", "refunds")
    assert found[0].fingerprint
    assert found == sorted(found, key=lambda passage: -passage.score)
    assert all(0 < passage.score <= 1 for passage in found)


@pytest.mark.both_databases
def test_other_forms_and_missing_accents_are_found_in_every_language(library: Library) -> None:
    upload(library, "Billing guide.md", GUIDE)
    upload(library, "precios.csv", PRICES)
    assert "Yoga" in find(library, "¿Qué precio tiene el yoga de un NINO?", "es")[0].text
    assert "double charge" in find(library, "charges twice doubled")[0].text


@pytest.mark.both_databases
def test_a_question_about_something_else_finds_nothing(library: Library) -> None:
    upload(library, "Billing guide.md", GUIDE)
    assert find(library, "Which volcano erupted on the island last century?") == []
    assert find(library, "Are you?") == []
    assert find(library, "'; DROP TABLE -- \" | & ! <-> *") == []


@pytest.mark.both_databases
def test_a_library_finds_only_its_own(library: Library) -> None:
    upload(library, "Billing guide.md", GUIDE)
    other = Library.objects.create(name="Other", language="en")
    upload(other, "Refunds.txt", "Refunds are never paid.")
    assert [passage.text for passage in find(other, "refunds")] == ["Refunds are never paid."]
    assert "never" not in find(library, "refunds")[0].text


def test_scripts_without_spaces_are_found(library: Library) -> None:
    upload(library, "hours.txt", "営業時間は午前九時から午後五時までです。\n\n返金は二週間かかります。")
    assert "返金" in find(library, "返金について", "ja")[0].text


def answer(library: Library, *wordings: str, text: str = "Yes, in three payments.") -> WrittenAnswer:
    written = WrittenAnswer(library=library, language="en", wordings=list(wordings), answer=text)
    written_answers.save(written, SERVER)
    return written


@pytest.mark.parametrize(
    "asked",
    [
        "Can I pay my bill in instalments?",
        "can i pay my bill in instalments",
        "Could I pay the bills by instalments, please?",
    ],
)
def test_a_written_answer_is_found_by_its_wording_and_near_it(library: Library, asked: str) -> None:
    written = answer(library, "What if I am short of money?", "Can I pay my bill in instalments?")
    assert written_answers.find_written_answer(library.pk, asked, "en") == written


@pytest.mark.parametrize(
    "asked", ["Can I not pay my bill in instalments?", "Can I pay my bill?", "Can I pay my fine in instalments?", "?"]
)
def test_a_written_answer_is_not_given_to_another_question(library: Library, asked: str) -> None:
    answer(library, "Can I pay my bill in instalments?")
    assert written_answers.find_written_answer(library.pk, asked, "en") is None


def test_equal_questions_are_counted_together_and_encrypted(library: Library) -> None:
    upload(library, "Billing guide.md", GUIDE)
    closest = find(library, "charge")
    unanswered.record(library.pk, "Who approves my laptop?", "en", uuid4(), closest)
    unanswered.record(library.pk, "who APPROVES the laptops", "en", uuid4(), closest)
    unanswered.record(library.pk, "And you?", "en", uuid4())
    question = UnansweredQuestion.objects.get()
    assert (question.times, question.wording, question.closest_id) == (
        2,
        "Who approves my laptop?",
        closest[0].chunk_id,
    )
    stored = UnansweredQuestion.objects.extra(select={"raw": "wording"}).values_list("raw", flat=True).get()
    assert "laptop" not in stored


def test_strangers_cannot_fill_the_table(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unanswered, "MAX_QUESTIONS", 2)
    for topic in ("laptop", "parking", "lunch"):
        unanswered.record(library.pk, f"Who pays for my {topic}?", "en", uuid4())
    assert UnansweredQuestion.objects.count() == 2


def test_old_questions_are_deleted(library: Library) -> None:
    unanswered.record(library.pk, "Who approves my laptop?", "en", uuid4())
    question = UnansweredQuestion.objects.get()
    unanswered.forget(question.last_asked_at + unanswered.KEPT / 2)
    assert UnansweredQuestion.objects.exists()
    unanswered.forget(question.last_asked_at + unanswered.KEPT * 1.01)
    assert not UnansweredQuestion.objects.exists()
