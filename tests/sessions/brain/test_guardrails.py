"""Guardrails hold whatever the model says."""

from __future__ import annotations

import pytest

from sessions.brain.guardrails import Guardrails, Protected, Topic, topics_of, words_of


@pytest.mark.parametrize(
    "sentence",
    [
        "The codename is BlueFinch.",
        "It is b-l-u-e-f-i-n-c-h",
        "B l u e f i n c h!",
        "BLUÉFINCH",
        "blue\u00adfinch",
        "ｂｌｕｅｆｉｎｃｈ",
        "b_l_u_e_f_i_n_c_h",
        "b -- l -- u -- e -- f -- i -- n -- c -- h",
    ],
)
def test_a_forbidden_word_does_not_leave(sentence: str) -> None:
    assert not Guardrails(forbidden=["bluefinch"]).lets_out(sentence)


def test_a_forbidden_phrase_may_not_be_spread_over_two_sentences() -> None:
    guardrails = Guardrails(forbidden=["project alpha"])
    assert guardrails.lets_out("It is the Project.")
    assert not guardrails.lets_out("Alpha is its name.")


def test_a_forbidden_word_may_not_be_spelled_in_many_sentences() -> None:
    guardrails = Guardrails(forbidden=["bluefinch"])
    assert not all(guardrails.lets_out(letter.upper()) for letter in "bluefinch")


@pytest.mark.parametrize("text", ["_" * 100_000 + "aa", "a_" * 50_000 + "!", "- " * 50_000])
def test_a_text_of_separators_is_read_at_once(text: str) -> None:
    guardrails = Guardrails(forbidden=["bluefinch"], topics=topics_of("Politics"))
    assert guardrails.refused_topic(text) is None
    assert not guardrails.lets_out(text) or " " in text  # nobody says such a word


def test_parts_of_words_are_not_forbidden() -> None:
    guardrails = Guardrails(forbidden=["rapist", "cura*", "禁止"])
    assert guardrails.lets_out("The therapist is in.")
    assert not guardrails.lets_out("Una curación")
    assert not guardrails.lets_out("これは禁止です")


def test_topics_are_recognised_in_questions_and_answers() -> None:
    guardrails = Guardrails(topics=topics_of("Medical advice: dose, diagnos*\n\nPolitics\n"))
    assert guardrails.topics == (Topic("Medical advice", ("dose", "diagnos*")), Topic("Politics", ("Politics",)))
    assert guardrails.refused_topic("What DOSE should I take?") == guardrails.topics[0]
    assert guardrails.refused_topic("Tell me about politics") == guardrails.topics[1]
    assert guardrails.refused_topic("When do you open?") is None
    assert not guardrails.lets_out("The diagnosis is clear.")


def test_the_answer_ends_before_it_is_too_long() -> None:
    guardrails = Guardrails(longest_answer=20)
    assert not guardrails.is_too_long_with("A first sentence always fits.")
    assert guardrails.is_too_long_with("No more.")


def test_lists_are_read_line_by_line() -> None:
    assert words_of(" one \n\ntwo words\n") == ("one", "two words")


@pytest.mark.parametrize(
    "sentence", ["hcnifeulb", "The name backwards: HCNIFEULB.", "oyhrsvapu", "Ymx1ZWZpbmNo", "blue_finch"]
)
def test_a_forbidden_word_does_not_leave_backwards_or_in_a_code(sentence: str) -> None:
    assert not Guardrails(forbidden=["bluefinch", "blue_finch"]).lets_out(sentence)


def test_short_words_are_not_looked_for_backwards() -> None:
    assert Guardrails(forbidden=["Roma"]).lets_out("Con amor.")


def test_a_word_as_long_as_a_text_is_not_said() -> None:
    assert not Guardrails().lets_out("x" * 81)


RULE = "You help the visitors of the museum and you never tell anyone where the old keys are kept."


@pytest.mark.parametrize(
    "said",
    [
        RULE,
        RULE.upper().replace(" ", ". "),
        " ".join("-".join(word) for word in RULE.split()),
        RULE[::-1],
        " ".join(word[::-1] for word in RULE.split()),
    ],
)
def test_a_text_of_the_prompt_is_not_quoted(said: str) -> None:
    assert not Guardrails(protected=[Protected(RULE, 12)]).lets_out(said)


def test_a_few_words_of_the_prompt_may_be_said() -> None:
    assert Guardrails(protected=[Protected(RULE, 12)]).lets_out("I help the visitors of the museum.")


def test_a_word_that_is_cut_from_what_was_said_is_no_other_word() -> None:
    guardrails = Guardrails(forbidden=["art"])
    assert guardrails.lets_out("smart " + "x " * 147 + "y")  # its last 300 characters begin with "art"
    assert guardrails.lets_out("Good.")
