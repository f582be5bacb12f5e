"""Users get mail in their language when their password or second factor changes."""

from __future__ import annotations

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core import mail
from django.core.cache import cache
from django.test import Client, override_settings
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from heygen_portal.trail.models import AuditEntry
from tests.people.phone import code

pytestmark = pytest.mark.django_db

PASSWORD, NEW = "wj3-longer-than-most", "another-long-passphrase"
SPANISH, ENGLISH = {"accept-language": "es"}, {"accept-language": "en"}


@pytest.fixture(autouse=True)
def with_mail(settings: Settings) -> None:
    cache.clear()
    settings.EMAIL_HOST = "mail.test"


@pytest.fixture
def ines() -> User:
    return User.objects.create_user("ines", "ines@example.org", PASSWORD, is_staff=True)


def sign_in(client: Client, language: dict[str, str]) -> None:
    assert client.post("/accounts/login/", {"login": "ines", "password": PASSWORD}, headers=language).status_code == 302


def subjects() -> list[str]:
    return [letter.subject.removeprefix("HeyGen Portal · ") for letter in mail.outbox]


def test_changing_a_password_sends_mail_with_the_address(
    client: Client, ines: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    sign_in(client, ENGLISH)
    posted = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/accounts/password/", posted, headers=ENGLISH)
    (letter,) = mail.outbox
    assert (letter.to, subjects()) == (["ines@example.org"], ["Your password was changed"])
    assert "From: 127.0.0.1" in letter.body
    assert "http://testserver/accounts/second-factor/" in letter.body


def test_mail_about_an_administrators_change_is_in_the_users_language(
    admin_client: Client,
    client: Client,
    ines: User,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    sign_in(client, ENGLISH)
    client.post("/language/", {"language": "es"})
    Authenticator.objects.create(user=ines, type="totp", data={})
    new = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(f"/admin/auth/user/{ines.pk}/password/", new, headers=ENGLISH)
        admin_client.post(f"/admin/auth/user/{ines.pk}/remove_second_factor/", {"_form_submitted": "on"})
    assert subjects() == ["Se ha cambiado tu contraseña", "Se ha quitado tu segundo factor"]
    assert "administrador" in mail.outbox[0].body
    assert "127.0.0.1" not in mail.outbox[0].body  # users do not learn the address of staff


def test_setting_up_and_removing_a_second_factor_sends_mail(
    client: Client, ines: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    sign_in(client, SPANISH)
    set_up = "/accounts/second-factor/set-up/"
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    found = re.search(r'id="secret" value="(\w+)"', client.get(set_up).content.decode())
    assert found
    with django_capture_on_commit_callbacks(execute=True):
        client.post(set_up, {"code": code(found.group(1))}, headers=SPANISH)
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/accounts/second-factor/codes/new/", headers=SPANISH)
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/accounts/second-factor/remove/", headers=SPANISH)
    assert subjects() == [
        "Se ha configurado un segundo factor",
        "Se han creado códigos de recuperación nuevos",
        "Se ha quitado tu segundo factor",
    ]


def test_resetting_a_password_sends_mail(
    client: Client, ines: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    client.post("/accounts/password/reset/", {"email": "ines@example.org"})
    found = re.search(r"http://testserver(\S+)", str(mail.outbox[0].body))
    assert found
    form = client.get(found.group(1), follow=True).redirect_chain[-1][0]
    with django_capture_on_commit_callbacks(execute=True):
        client.post(form, {"password1": NEW, "password2": NEW})
    assert len(mail.outbox) == 2
    assert "contraseña" in mail.outbox[1].subject


@pytest.mark.parametrize("lacking", ["mail", "address"])
def test_without_mail_or_an_address_the_change_is_kept_and_nothing_is_sent(
    admin_client: Client, ines: User, lacking: str
) -> None:
    if lacking == "address":
        User.objects.update(email="")
    new = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    with override_settings(EMAIL_HOST="" if lacking == "mail" else "mail.test"):
        admin_client.post(f"/admin/auth/user/{ines.pk}/password/", new)
    ines.refresh_from_db()
    assert ines.check_password(NEW)
    assert mail.outbox == []


def test_an_unreachable_mail_server_does_not_undo_the_change(
    admin_client: Client,
    ines: User,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    new = {"password1": NEW, "password2": NEW, "usable_password": "true"}
    nowhere = {"EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend", "EMAIL_HOST": "127.0.0.1"}
    with override_settings(**nowhere, EMAIL_PORT=9), django_capture_on_commit_callbacks(execute=True):
        answer = admin_client.post(f"/admin/auth/user/{ines.pk}/password/", new)
    assert answer.status_code == 302
    assert f"security mail to user {ines.pk} was not sent" in caplog.text
    assert "ines@" not in caplog.text


def test_the_admin_uses_the_portals_password_page(admin_client: Client) -> None:
    assert admin_client.get("/admin/password_change/")["Location"] == "/accounts/password/"


FORM = {"username": "ines", "email": "ines@example.org", "is_active": "on"}


def test_a_changed_address_is_recorded_and_mailed_to_both_addresses(
    admin_client: Client, ines: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    EmailAddress.objects.create(user=ines, email="ines@example.org", verified=True)
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(f"/admin/auth/user/{ines.pk}/change/", FORM | {"email": "new@example.net"}, headers=ENGLISH)
    assert [letter.to for letter in mail.outbox] == [["ines@example.org"], ["new@example.net"]]
    assert set(subjects()) == {"Se ha cambiado tu dirección de correo"}
    assert "new@" not in mail.outbox[0].body
    entry = AuditEntry.objects.get(kind="access_changed")
    assert entry.data["email"] == ["ines@example.org", "new@example.net"]


@pytest.mark.parametrize("asked_for", ["ines@example.org", "INES@example.org"])
def test_a_former_address_gets_no_reset_link(admin_client: Client, client: Client, ines: User, asked_for: str) -> None:
    EmailAddress.objects.create(user=ines, email="ines@example.org", verified=True)
    admin_client.post(f"/admin/auth/user/{ines.pk}/change/", FORM | {"email": "new@example.net"})
    mail.outbox.clear()
    client.post("/accounts/password/reset/", {"email": asked_for})
    assert "/accounts/password/reset/key/" not in "".join(str(letter.body) for letter in mail.outbox)


@pytest.mark.parametrize("name", ["ines.b", "INES"])
def test_a_changed_username_is_recorded_and_mailed(
    admin_client: Client, ines: User, name: str, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(f"/admin/auth/user/{ines.pk}/change/", FORM | {"username": name})
    assert [letter.to for letter in mail.outbox] == [["ines@example.org"]]
    assert name in mail.outbox[0].body
    entry = AuditEntry.objects.get(kind="access_changed")
    assert entry.data["username"] == ["ines", name]


def test_a_form_without_changes_sends_no_mail(
    admin_client: Client, ines: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(f"/admin/auth/user/{ines.pk}/change/", FORM | {"first_name": "Inés"})
    assert mail.outbox == []
