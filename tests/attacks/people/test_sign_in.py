"""Strangers who try passwords are slowed down and cannot lock users out."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client, override_settings

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"
RIGHT, NEW = "wj3-longer-than-most", "kq7-longer-than-that"
FROM_KNOWN = 10
FEWER = override_settings(BUDGETS={"sign_in_elsewhere.login": "12/hour", "sign_in.address": "15/minute"})
"""The same rules with lower limits."""
FROM_ELSEWHERE_AN_HOUR = 12


@pytest.fixture
def ines() -> User:
    return User.objects.create_user("ines", "ines@example.org", RIGHT)


def sign_in_status(client: Client, password: str, name: str = "ines") -> int:
    return client.post(LOGIN, {"login": name, "password": password}).status_code


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def device_of(ines: User, address: str = "192.0.2.10") -> Client:
    """Return a browser that has signed in and out before."""
    device = Client(REMOTE_ADDR=address)
    assert sign_in_status(device, RIGHT) == 302
    device.post("/accounts/logout/")
    assert not is_in(device)
    return device


def attempts_by_strangers(count: int, name: str = "ines", *, addresses: int = 60) -> list[int]:
    return [sign_in_status(Client(REMOTE_ADDR=f"198.51.100.{n % addresses + 1}"), "wrong", name) for n in range(count)]


@pytest.mark.parametrize("is_administrator", [False, pytest.param(True, marks=pytest.mark.proof)])
def test_50_wrong_passwords_from_60_addresses_lock_no_user_out(ines: User, is_administrator: bool) -> None:
    User.objects.filter(pk=ines.pk).update(is_staff=is_administrator, is_superuser=is_administrator)
    device = device_of(ines)
    attempts_by_strangers(50)
    sign_in_status(device, RIGHT)
    assert is_in(device)
    elsewhere = Client(REMOTE_ADDR="203.0.113.9")
    sign_in_status(elsewhere, RIGHT)
    assert is_in(elsewhere)


@FEWER
def test_persistent_strangers_cannot_lock_out_a_known_device(ines: User) -> None:
    device = Client(REMOTE_ADDR="203.0.113.50")  # an address that is not known
    device.cookies = device_of(ines).cookies
    attempts_by_strangers(15)
    sign_in_status(device, RIGHT)
    assert is_in(device)


@FEWER
@pytest.mark.parametrize("name", ["ines", "INES", "ｉｎｅｓ"])
def test_strangers_share_a_limited_number_of_attempts_per_name(ines: User, name: str) -> None:
    attempts_by_strangers(FROM_ELSEWHERE_AN_HOUR - 5)
    statuses = attempts_by_strangers(10, name)
    assert statuses == [200] * 5 + [429] * 5
    refused = Client(REMOTE_ADDR="203.0.113.9").post(LOGIN, {"login": "ines", "password": RIGHT})
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 3600


@FEWER
def test_the_refusal_page_explains_once_and_links_back(ines: User) -> None:
    attempts_by_strangers(15)
    posted = {"login": "ines", "password": RIGHT}
    page = Client(REMOTE_ADDR="203.0.113.9").post(LOGIN, posted, headers={"accept-language": "es"}).content.decode()
    assert "<h1>Demasiadas solicitudes</h1>" in page
    assert re.search(r"<p class=\"muted\">Inténtalo de nuevo en \d+ (minuto|segundo)s?\.", page)
    assert f'href="{LOGIN}"' in page
    assert "data-theme-switch" in page
    assert 'name="language" value="en"' in page


@FEWER
def test_an_unknown_name_gets_the_same_answer(ines: User) -> None:
    assert attempts_by_strangers(15) == attempts_by_strangers(15, "nobody")


@FEWER
def test_a_known_address_has_its_own_attempts(ines: User) -> None:
    device_of(ines, "192.0.2.10")
    attempts_by_strangers(15)
    same_office = Client(REMOTE_ADDR="192.0.2.10")
    sign_in_status(same_office, RIGHT)
    assert is_in(same_office)


@FEWER
def test_a_colleague_at_the_same_address_cannot_lock_out_a_known_device(ines: User) -> None:
    device = device_of(ines, "192.0.2.10")
    for _ in range(25):
        sign_in_status(Client(REMOTE_ADDR="192.0.2.10"), "wrong")
    sign_in_status(device, RIGHT)
    assert is_in(device)


@FEWER
@pytest.mark.parametrize("names", [["nobody-{}"], ["ines-{}", "admin"], ["eve"]])
def test_a_stranger_at_the_same_address_cannot_lock_the_user_out(ines: User, names: list[str]) -> None:
    device_of(ines, "192.0.2.10")
    for n in range(25):
        sign_in_status(Client(REMOTE_ADDR="192.0.2.10"), "wrong", names[n % len(names)].format(n))
    without_cookie = Client(REMOTE_ADDR="192.0.2.10")
    sign_in_status(without_cookie, RIGHT)
    assert is_in(without_cookie)


@FEWER
def test_a_known_device_gets_its_own_attempts_and_the_shared_ones(ines: User) -> None:
    device = device_of(ines)
    attempts_by_strangers(FROM_ELSEWHERE_AN_HOUR)
    statuses = [sign_in_status(device, "wrong") for _ in range(30)]
    # Ten of the device and ten of the address.
    assert statuses == [200] * 2 * FROM_KNOWN + [429] * 10


@FEWER
@pytest.mark.parametrize("spoil", ["forged", "another person's", "old password's"])
def test_a_device_is_known_only_by_our_cookie_for_this_user_and_password(ines: User, spoil: str) -> None:
    eve = User.objects.create_user("eve", "eve@example.org", RIGHT)
    device = device_of(ines)
    if spoil == "forged":
        device.cookies["known_device"] = device.cookies["known_device"].value[:-4] + "AAAA"
    elif spoil == "another person's":
        device = Client(REMOTE_ADDR="192.0.2.10")
        assert sign_in_status(device, RIGHT, eve.username) == 302
        device.post("/accounts/logout/")
    else:
        ines.set_password(NEW)
        ines.save()
    attempts_by_strangers(FROM_ELSEWHERE_AN_HOUR)
    moved = Client(REMOTE_ADDR="203.0.113.9")
    moved.cookies = device.cookies
    assert sign_in_status(moved, NEW if spoil == "old password's" else RIGHT) == 429


def test_the_cookie_is_http_only(ines: User) -> None:
    cookie = device_of(ines).cookies["known_device"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/accounts/")


@FEWER
def test_a_password_reset_by_mail_works_despite_strangers(ines: User) -> None:
    attempts_by_strangers(15)
    elsewhere = Client(REMOTE_ADDR="203.0.113.9")
    with override_settings(EMAIL_HOST="mail.test"):
        assert elsewhere.post("/accounts/password/reset/", {"email": ines.email}).status_code == 302
        found = re.search(r"http://testserver(\S+)", str(mail.outbox[0].body))
        assert found
        form = elsewhere.get(found.group(1), follow=True).redirect_chain[-1][0]
        assert elsewhere.post(form, {"password1": NEW, "password2": NEW}).status_code == 302
    attempts_by_strangers(15)
    sign_in_status(elsewhere, NEW)
    assert is_in(elsewhere)


def test_reset_mail_is_limited_by_address_and_recipient(ines: User) -> None:
    with override_settings(EMAIL_HOST="mail.test"):
        for email in (ines.email, "nobody@example.org"):
            statuses = [
                Client(REMOTE_ADDR=f"198.51.100.{n}").post("/accounts/password/reset/", {"email": email}).status_code
                for n in range(7)
            ]
            assert statuses == [302] * 5 + [429] * 2
    assert len(mail.outbox) == 5


def test_every_spelling_of_one_users_address_counts_as_one(ines: User) -> None:
    spellings = [f"{blank}{ines.email}{blank}" for blank in (" ", "\t", "  ", "\u00a0", "\u3000")]
    spellings += [f"  {ines.email.upper()}", ines.email]
    with override_settings(EMAIL_HOST="mail.test"):
        statuses = [
            Client(REMOTE_ADDR=f"198.51.100.{n}").post("/accounts/password/reset/", {"email": email}).status_code
            for n, email in enumerate(spellings)
        ]
    assert statuses == [302] * 5 + [429] * 2
    assert len(mail.outbox) == 5


@FEWER
def test_spaces_around_a_name_give_no_more_attempts(ines: User) -> None:
    statuses = [
        sign_in_status(Client(REMOTE_ADDR=f"198.51.100.{n + 1}"), "wrong", f"{' ' * n}ines\t")
        for n in range(FROM_ELSEWHERE_AN_HOUR + 2)
    ]
    assert statuses == [200] * FROM_ELSEWHERE_AN_HOUR + [429] * 2


@FEWER
def test_one_address_that_tries_many_names_is_refused() -> None:
    client = Client(REMOTE_ADDR="198.51.100.7")
    assert [sign_in_status(client, "wrong", f"name-{n}") for n in range(17)] == [200] * 15 + [429] * 2


@FEWER
def test_guessing_the_old_password_with_a_stolen_login_is_bounded(ines: User) -> None:
    thief = Client(REMOTE_ADDR="198.51.100.7")
    thief.force_login(ines, backend="django.contrib.auth.backends.ModelBackend")
    wrong = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    statuses = [thief.post("/accounts/password/", wrong).status_code for _ in range(12)]
    assert statuses == [200] * 10 + [403, 302]
    assert not is_in(thief)


@FEWER
@pytest.mark.parametrize("host", ["", "mail.test"])
def test_a_refusal_mentions_mail_only_with_a_mail_server(ines: User, host: str) -> None:
    attempts_by_strangers(FROM_ELSEWHERE_AN_HOUR)
    with override_settings(EMAIL_HOST=host):
        refused = Client(REMOTE_ADDR="203.0.113.9").post(
            LOGIN, {"login": "ines", "password": "x"}, headers={"accept-language": "en"}
        )
    assert refused.status_code == 429
    assert "from a device you have used before" in refused.content.decode()
    assert ("reset your password by e-mail" in refused.content.decode()) == bool(host)


@FEWER
def test_a_known_address_belongs_to_the_user_and_not_to_the_name(ines: User) -> None:
    device_of(ines, "192.0.2.10")
    User.objects.filter(pk=ines.pk).update(username="ines.old")
    User.objects.create_user("ines", "", NEW)
    attempts_by_strangers(FROM_ELSEWHERE_AN_HOUR)
    attempts_by_strangers(FROM_ELSEWHERE_AN_HOUR, "ines.old")
    assert sign_in_status(Client(REMOTE_ADDR="192.0.2.10"), NEW) == 429
    assert sign_in_status(Client(REMOTE_ADDR="192.0.2.10"), RIGHT, "ines.old") == 302
