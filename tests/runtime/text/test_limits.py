"""Limits of typed texts count characters as people do."""

from __future__ import annotations

import pytest
from django import forms
from django.utils import translation

from heygen_portal.runtime.text import limits
from heygen_portal.runtime.text.limits import LimitedText
from sessions import errors
from sessions.actions import staff_reasons

FAMILY, ACCENTED, FLAG = "\U0001f469\u200d\U0001f469\u200d\U0001f467", "e\u0301", "\U0001f1ea\U0001f1f8"


class Form(forms.Form):
    text = LimitedText(min_characters=2, max_characters=3)


@pytest.mark.parametrize("character", ["a", FAMILY, ACCENTED, FLAG])
def test_an_emoji_or_a_letter_with_its_accents_is_one_character(character: str) -> None:
    texts = [character * count for count in range(1, 5)]
    assert [Form({"text": text}).is_valid() for text in texts] == [False, True, True, False]


def test_a_character_may_not_have_any_number_of_marks() -> None:
    assert Form({"text": "ae" + "\u0301" * 13}).is_valid()
    assert not Form({"text": "ae" + "\u0301" * 14}).is_valid()


def test_a_text_that_is_far_too_long_is_not_counted() -> None:
    assert limits.length("x" * 1_000_000, 500) == 200_000


def test_the_page_counts_itself_and_has_messages_in_its_language() -> None:
    for language, words in (("en", "At most 3 characters."), ("es", "Como máximo 3 caracteres.")):
        with translation.override(language):
            field = Form().as_p()
        assert 'data-max-characters="3"' in field
        assert words in field
        assert "maxlength" not in field  # counts an emoji as two or more


def test_a_reason_may_be_500_emoji_long() -> None:
    assert staff_reasons.checked(f" {FAMILY * 500} ") == FAMILY * 500
    for wrong in (FAMILY * 4, FAMILY * 501):
        with pytest.raises(errors.ReasonNeeded):
            staff_reasons.checked(wrong)
