from __future__ import annotations

import pytest

from avatars.documents import words


@pytest.mark.parametrize(
    ("language", "asked", "written"),
    [
        ("es", "¿Cuánto cuesta la matrícula?", "Las matrículas cuestan 30 €"),
        ("es", "cancelacion", "cancelar"),
        ("es", "CANCELACIÓN", "cancelaciones"),
        ("en", "How do I cancel?", "cancelled"),
        ("pt", "cancelação", "cancelar"),
        ("pt", "inscricao", "inscrição"),
        ("it", "iscrizione", "iscrizioni"),
        ("fr", "annulée", "annuler"),
        ("de", "Gebühren", "gebuhr"),
        ("de", "Größe", "GRÖSSEN"),
        ("ja", "東京", "東京タワー"),
        ("th", "กรุงเทพ", "ไปกรุงเทพวันนี้"),
        ("ca", "què", "Que"),
    ],
)
def test_words_are_found_in_other_forms(language: str, asked: str, written: str) -> None:
    stored = set(words.of_passage(written, language))
    assert any(forms & stored for forms in words.of_query(asked, [language]))


def test_words_without_a_topic_are_left_out() -> None:
    assert words.of_query("¿Podría decirme cuándo es la fiesta, por favor?", ["es"]) == [frozenset({"fiest"})]


def test_the_language_of_a_text_is_told_by_its_frequent_words() -> None:
    assert words.language_of("Send it back to us within two weeks and we will pay for it.", "es") == "en"
    assert words.language_of("Yoga 20 €", "es") == "es"
