"""Signing in with a password, resetting and changing it."""

from __future__ import annotations

import re

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client, override_settings

from heygen_portal.trail.models import AuditEntry

pytestmark = pytest.mark.django_db

LOGIN = "/accounts/login/"
OLD, NEW = "wj3-longer-than-most", "kq7-longer-than-that"


@pytest.fixture
def ines() -> User:
    return User.objects.create_user("ines", "ines@example.org", OLD)


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_failed_attempts_are_logged(client: Client, ines: User) -> None:
    assert client.post(LOGIN, {"login": "ines", "password": "wrong"}).status_code == 200
    assert AccessAttempt.objects.get().username == "ines"


def test_a_reset_link_works_once(client: Client, ines: User) -> None:
    with override_settings(EMAIL_HOST="mail.test"):
        assert client.post("/accounts/password/reset/", {"email": "Ines@example.org"}).status_code == 302
        (letter,) = mail.outbox
        found = re.search(r"http://testserver(\S+)", str(letter.body))
        assert found
        form = client.get(found.group(1), follow=True).redirect_chain[-1][0]
        assert client.post(form, {"password1": NEW, "password2": NEW}).status_code == 302
        again = Client().get(found.group(1))
        assert b"password1" not in again.content
    ines.refresh_from_db()
    assert ines.check_password(NEW)
    entry = AuditEntry.objects.get()
    assert (entry.kind, entry.by, entry.about) == (AuditEntry.Kind.PASSWORD_SET, ines, "ines")
    assert not is_in(client)  # resetting the password does not skip the second factor


def test_a_reset_request_does_not_reveal_whether_the_address_is_known(client: Client, ines: User) -> None:
    with override_settings(EMAIL_HOST="mail.test"):
        known = client.post("/accounts/password/reset/", {"email": "ines@example.org"})
        unknown = client.post("/accounts/password/reset/", {"email": "nobody@example.org"})
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert len(mail.outbox) == 1


def test_without_a_mail_server_no_mail_is_promised(client: Client) -> None:
    assert client.get("/accounts/password/reset/").status_code == 404
    assert "/accounts/password/reset/" not in client.get(LOGIN).content.decode()


def test_changing_ones_own_password_needs_the_old_one_and_is_recorded(client: Client, ines: User) -> None:
    client.force_login(ines)
    wrong = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    assert client.post("/accounts/password/", wrong).status_code == 200
    assert client.post("/accounts/password/", {**wrong, "old_password": OLD}).status_code == 302
    ines.refresh_from_db()
    assert ines.check_password(NEW)
    assert AuditEntry.objects.get().kind == AuditEntry.Kind.PASSWORD_SET


def test_there_is_no_self_registration(client: Client) -> None:
    for path in ("/accounts/signup/", "/accounts/email/", "/accounts/social/signup/"):
        assert client.get(path).status_code in (302, 404)
        assert client.post(path, {"username": "eve", "password1": NEW, "password2": NEW}).status_code in (302, 404)
    assert not User.objects.exists()
