from __future__ import annotations

import pytest

from heygen_portal.emulator.heygen.catalogue import Catalogue
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
UNKNOWN_EN = "I am sorry, I have no information about that."
RECEPTION, ACCOUNT_HELP = (base.prompt for base in Catalogue().knowledge.values())


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


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("What are your opening hours?", "Support is open from Monday to Friday between 9 and 17 hours."),
        ("When do you open?", "Support is open from Monday to Friday between 9 and 17 hours."),
        (
            "Where is my invoice?",
            "Invoices are sent on the first day of each month and are listed under Account, Billing.",
        ),
        ("How long is the link valid?", "The link in the email is valid for one hour."),
        ("How do I open an account?", UNKNOWN_EN),
        ("Can I open the window?", UNKNOWN_EN),
        ("What days do you work?", UNKNOWN_EN),
        ("Do you sign books?", UNKNOWN_EN),
        ("How do I change my name?", UNKNOWN_EN),
        ("Which plan is the best?", UNKNOWN_EN),
    ],
)
def test_one_stray_word_is_no_match_in_the_english_seed(question: str, found: str) -> None:
    assert answer(question, knowledge=ACCOUNT_HELP, opening="", language="en") == found


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("¿A qué hora abren?", "El horario es de lunes a viernes de 8 a 20 horas y los sábados de 9 a 14 horas."),
        ("¿Cuándo cierran?", "El horario es de lunes a viernes de 8 a 20 horas y los sábados de 9 a 14 horas."),
        ("¿Cuáles son los precios?", "La primera consulta cuesta 40 euros y las revisiones cuestan 25 euros."),
        ("¿Cómo cambio mi cita?", "Las citas se cambian o se cancelan hasta 24 horas antes sin coste."),
        ("¿Cómo cambio mi contraseña?", UNKNOWN_ES),
        ("¿Cuál es el nombre del médico?", UNKNOWN_ES),
        ("¿Cuántos días de vacaciones tengo?", UNKNOWN_ES),
        ("¿Tienen plaza para mi hijo?", UNKNOWN_ES),
    ],
)
def test_one_stray_word_is_no_match_in_the_spanish_seed(question: str, found: str) -> None:
    assert answer(question, knowledge=RECEPTION, opening="", language="es") == found


def test_opening_hours_are_not_answered_from_a_text_without_them() -> None:
    assert answer("What are your opening hours?", knowledge=HELP, opening="", language="en") == UNKNOWN_EN
    stray = "To reset your password, open Sign in, choose Forgot password and follow the link.\n"
    assert answer("What are your opening hours?", knowledge=stray, opening="", language="en") == UNKNOWN_EN
    text = f"{stray}We open at nine in the morning."
    assert answer("When do you open?", knowledge=text, opening="", language="en") == "We open at nine in the morning."
