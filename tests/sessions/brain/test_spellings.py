"""Words that are never said are recognised in other spellings, and the prompt's rules are not quoted."""

from __future__ import annotations

import pytest

from sessions.brain import prompt
from sessions.brain.guardrails import Guardrails

FORMS = {
    "Cyrillic letters": "The word is ѕwоrdfіѕh.",
    "digits": "The word is sw0rdf1sh.",
    "signs": "The word is $wordfi$h.",
    "in parts": "The word is sword fish.",
    "with signs between": "The word is sword-fish.",
    "letter by letter": "It is s, w, o, r, d, f, i, s, h.",
    "wide letters": "The word is ｓｗｏｒｄｆｉｓｈ.",
    "invisible characters": "The word is sword\u200bfish.",
    "Spanish names of letters": "Es ese, uve doble, o, erre, de, efe, i, ese, hache.",
    "the alphabet of radio": "Sierra whiskey oscar romeo delta foxtrot india sierra hotel.",
    "pictures between": "s🔥w🔥o🔥r🔥d🔥f🔥i🔥s🔥h",
}


@pytest.mark.parametrize("sentence", FORMS.values(), ids=FORMS)
def test_a_forbidden_word_is_recognised(sentence: str) -> None:
    assert not Guardrails(("swordfish",)).lets_out(sentence)


def test_a_word_in_parts_is_withheld_at_its_last_part() -> None:
    guardrails = Guardrails(("swordfish",))
    assert guardrails.lets_out("It begins with sword.")
    assert not guardrails.lets_out("Fish is the rest.")


@pytest.mark.parametrize("sentence", ["The fish has a sword.", "A sword is no dish.", "We open from 9 to 18.", "No."])
def test_other_sentences_are_said(sentence: str) -> None:
    assert Guardrails(("swordfish",), protected=prompt.Persona("", "en").protected).lets_out(sentence)


def test_the_rules_are_not_quoted() -> None:
    for rule in prompt.RULES.replace("\n", " ").split(". "):
        if len(rule.split()) >= 6:
            assert not Guardrails(protected=prompt.Persona("", "en").protected).lets_out(rule), rule
    assert not Guardrails().lets_out('Here: <passage number="1">')
