"""Personal data of users does not leave for a model."""

from __future__ import annotations

import pytest

from sessions.brain.masking import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Soy ana.gil+x@correo.example.", "Soy [e-mail]."),
        ("Call +34 600 123 456 or (020) 7946-0958.", "Call [phone] or [phone]."),
        ("Card 4111 1111 1111 1111, please", "Card [card], please"),
        ("4111-1111-1111-1112", "[phone]"),
        ("Card 4111 - 1111 - 1111 - 1111, please", "Card [card], please"),
        ("4111\u00a0\u2013 1111 \u2013 1111 \u2013 1111", "[card]"),
        ("CCC 2100 0418 45 0200051332", "CCC [ID]"),
        ("9" * 25, "[ID]"),
        ("Call 600 123 456 4u", "Call [phone] 4u"),
        ("On 24/12/2026 600 123 456", "On 24/12/2026 [phone]"),
        ("(ana@correo.example)", "([e-mail])"),
        ("Mi DNI es 12345678Z y el NIE X1234567L", "Mi DNI es [ID] y el NIE [ID]"),
        ("IBAN ES91 2100 0418 4502 0005 1332", "IBAN [ID]"),
        ("SSN 078-05-1120", "SSN [ID]"),
    ],
)
def test_personal_data_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Invoice 20391 of 17/10/2026",
        "On 2026-10-17",
        "It costs 1.250,50 €",
        "Room 12, floor 3",
        "a @ b",
        "24/7",
        "From 2020 - 2024",
        "01-02-2024 - 03-02-2024",
        "Order A1234567890123",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize("text", ["1 " * 20_000 + "a", "1" * 40_000 + "a", "a@" * 20_000, "a" * 40_000 + "@"])
def test_a_text_of_numbers_is_read_at_once(text: str) -> None:
    mask(text)
