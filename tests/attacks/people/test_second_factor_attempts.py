"""Guessing second-factor codes is limited, without locking the owner out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import User
from django.test import Client, override_settings

from tests.people.phone import code

pytestmark = pytest.mark.django_db

LOGIN, ASK = "/accounts/login/", "/accounts/second-factor/ask/"
AGAIN, CODE_AGAIN, CHANGE = "/accounts/reauthenticate/", "/accounts/second-factor/again/", "/accounts/password/"
RIGHT, NEW = "wj3-longer-than-most", "kq7-longer-than-that"
BACKEND = "django.contrib.auth.backends.ModelBackend"
FEWER = override_settings(BUDGETS={"second_factor_elsewhere.login": "20/hour"})
"""The same rules with lower limits."""
FROM_ELSEWHERE_AN_HOUR = 20
WRONG_IN_A_ROW = 10


@pytest.fixture
def ines() -> User:
    user = User.objects.create_user("ines", "ines@example.org", RIGHT)
    RecoveryCodes.activate(user)
    return user


@pytest.fixture
def secret(ines: User) -> str:
    made: str = generate_totp_secret()
    TOTP.activate(ines, made)
    return made


def signs_in(client: Client, number: str) -> Any:
    """Sign in with the right password and a code."""
    assert client.post(LOGIN, {"login": "ines", "password": RIGHT})["Location"].startswith(ASK)
    return client.post(ASK, {"code": number}, headers={"accept-language": "en"})


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def device_of(secret: str) -> Client:
    """Return a browser that has signed in and out before."""
    device = Client(REMOTE_ADDR="192.0.2.10")
    signs_in(device, code(secret))
    assert is_in(device)
    device.post("/accounts/logout/")
    return device


def attempts_by_strangers(count: int) -> list[int]:
    """Try codes with the right password, from many addresses."""
    return [signs_in(Client(REMOTE_ADDR=f"198.51.100.{n + 1}"), f"{n:06}").status_code for n in range(count)]


@FEWER
def test_a_thief_of_the_password_cannot_lock_out_a_known_device(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = Client(REMOTE_ADDR="203.0.113.50")
    moved.cookies = device_of(secret).cookies
    attempts_by_strangers(FROM_ELSEWHERE_AN_HOUR + 2)
    monkeypatch.setattr("allauth.mfa.totp.internal.auth.TOTP._mark_code_used", lambda self, code: True)  # seconds ago
    signs_in(moved, code(secret))
    assert is_in(moved)


@FEWER
def test_codes_from_unknown_devices_are_delayed_with_the_time_to_wait(secret: str) -> None:
    assert attempts_by_strangers(FROM_ELSEWHERE_AN_HOUR + 3) == [200] * FROM_ELSEWHERE_AN_HOUR + [429] * 3
    refused = signs_in(Client(REMOTE_ADDR="203.0.113.9"), code(secret))
    wait = int(refused["Retry-After"])
    assert 1 <= wait <= 3600
    assert re.search(rf"Try again in ({wait} second|{-(-wait // 60)} minute)", refused.content.decode())
    assert "from a device you have used before" in refused.content.decode()


@FEWER
def test_code_attempts_of_a_known_device_are_limited(secret: str) -> None:
    device = device_of(secret)
    statuses = [signs_in(device, f"{n:06}").status_code for n in range(45)]
    # Ten of the device, ten of the address, and the shared ones except the one that made the device known.
    assert statuses == [200] * 39 + [429] * 6


def login(user: User) -> Client:
    thief = Client(REMOTE_ADDR="198.51.100.7")
    thief.force_login(user, backend=BACKEND)
    return thief


GUESSES = {
    AGAIN: {"password": "wrong"},
    CODE_AGAIN: {"code": "000000"},
    CHANGE: {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW},
}


@pytest.mark.parametrize("page", GUESSES)
def test_a_login_session_ends_after_ten_wrong_proofs_in_a_row(ines: User, secret: str, page: str) -> None:
    thief, owner = login(ines), login(ines)
    statuses = [thief.post(page, GUESSES[page]).status_code for _ in range(WRONG_IN_A_ROW + 1)]
    assert statuses == [200] * WRONG_IN_A_ROW + [403]
    assert not is_in(thief)
    assert is_in(owner)


def test_a_correct_proof_resets_the_count_of_wrong_ones(ines: User) -> None:
    client = login(ines)
    for password in ["wrong"] * 6 + [RIGHT] + ["wrong"] * 6:
        client.post(AGAIN, {"password": password})
    assert is_in(client)


@override_settings(BUDGETS={"sign_in_elsewhere.login": "3/hour"})
def test_proofs_count_as_attempts_to_sign_in_and_the_refusal_names_the_wait(ines: User) -> None:
    thief = login(ines)
    answers = [login(ines).post(AGAIN, {"password": "wrong"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429]
    refused = thief.post(AGAIN, {"password": RIGHT}, headers={"accept-language": "en"})
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 3600
    assert "Try again in" in refused.content.decode()


@override_settings(BUDGETS={"password_link.address": "3/minute"})
def test_the_page_of_a_link_names_the_time_to_wait(ines: User) -> None:
    answers = [Client().post("/accounts/password/reset/key/1-set-password/", {}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60
