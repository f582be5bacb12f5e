from __future__ import annotations

import pytest

from heygen_portal.emulator.speech.answers import answer

CLINIC = """Somos la Clínica Aurora, en la calle Mayor 12.
El horario es de lunes a viernes de 8 a 20 horas.
La primera consulta cuesta 40 euros. Las revisiones cuestan 25 euros.
- Se puede pagar con tarjeta o en efectivo.
Los resultados de los análisis llegan por correo en tres días.
"""
HELP = """To reset your password, choose Forgot password.
Invoices are sent on the first day of each month.
Refunds are possible within 14 days of payment.
"""
UNKNOWN_ES = "Lo siento, de eso no tengo información."


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("¿Cuánto cuesta la primera consulta?", "La primera consulta cuesta 40 euros."),
        ("¿y cuanto cuestan las revisiones?", "Las revisiones cuestan 25 euros."),
        ("¿QUÉ HORARIO TIENEN?", "El horario es de lunes a viernes de 8 a 20 horas."),
        ("¿Puedo pagar con tarjetas?", "Se puede pagar con tarjeta o en efectivo."),
        ("cuando llega el resultado del analisis", "Los resultados de los análisis llegan por correo en tres días."),
    ],
)
def test_a_spanish_question_finds_its_sentence_despite_accents_and_endings(question: str, found: str) -> None:
    assert answer(question, knowledge=CLINIC, opening="", language="es") == found


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("How do I reset my password?", "To reset your password, choose Forgot password."),
        ("where is my invoice", "Invoices are sent on the first day of each month."),
        ("Can I get a refund?", "Refunds are possible within 14 days of payment."),
    ],
)
def test_an_english_question_finds_its_sentence(question: str, found: str) -> None:
    assert answer(question, knowledge=HELP, opening="", language="en") == found


@pytest.mark.parametrize("question", ["¿Cuál es la capital de Francia?", "¿Por qué?", "", "?!", "🙂"])
def test_an_unknown_topic_is_answered_with_the_fixed_phrase(question: str) -> None:
    assert answer(question, knowledge=CLINIC, opening="Bienvenida", language="es") == UNKNOWN_ES
    assert answer(question, knowledge="", opening="Bienvenida", language="es") == UNKNOWN_ES


def test_a_greeting_is_answered_with_the_opening_or_a_greeting() -> None:
    assert answer("¡Hola, buenos días!", knowledge=CLINIC, opening="Bienvenida.", language="es") == "Bienvenida."
    assert answer("Hello there", knowledge=HELP, opening="", language="en-US") == "Hello, how can I help you?"


def test_a_greeting_before_a_question_does_not_hide_it() -> None:
    assert answer("Hola, ¿qué horario tienen?", knowledge=CLINIC, opening="Hola", language="es").startswith(
        "El horario"
    )
