"""Sensitive actions need a recent proof of identity, and no form is lost."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client, override_settings

from avatars.models import ProviderAccount
from heygen_portal.models import Invitation
from heygen_portal.people.access import roles, sudo
from heygen_portal.trail.models import AuditEntry
from sessions.models import Export
from tests.avatars.accounts.test_admin import KEY, form
from tests.people.directory import Directory
from tests.people.signed_in import age_login
from tests.sessions.retention.test_erasure import SECRET, ended_session, texts
from tests.support.factories import EndUserFactory, ProviderAccountFactory, StreamingSessionFactory

pytestmark = pytest.mark.django_db

PASSWORD = "wj3-longer-than-most"
AGAIN, AT_THE_DIRECTORY = "/accounts/reauthenticate/", "/accounts/reauthenticate/directory/"
NEW_EXPORT = "/admin/avatar_sessions/export/new/"


@pytest.fixture(autouse=True)
def reset_attempt_counts() -> None:
    """Clear allauth's counts, because users of all tests have the same IDs."""
    cache.clear()


@pytest.fixture
def administrator() -> User:
    return User.objects.create_superuser("administrator", "administrator@example.org", PASSWORD)


@pytest.fixture
def admin(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    age_login(client)
    return client


def prove(client: Client, asked: Any, **posted: str) -> Any:
    """Enter the password on the page of the redirect."""
    where = asked["HX-Redirect"] if "HX-Redirect" in asked else asked["Location"]
    assert where.startswith(AGAIN), where
    onward = parse_qs(urlsplit(where).query)["next"][0]
    return client.post(AGAIN, {"password": PASSWORD, "next": onward, **posted})


def roles_form(user: User, role: roles.Role) -> dict[str, Any]:
    group = Group.objects.get(name=role.group)
    return {"username": user.username, "is_active": "on", "groups": [group.pk], "first_name": "Inés", "_save": "1"}


def test_giving_a_role_needs_a_proof_and_keeps_the_form(admin: Client) -> None:
    ines = EndUserFactory.create(username="ines")
    asked = admin.post(f"/admin/auth/user/{ines.pk}/change/", roles_form(ines, roles.ADMINISTRATOR))
    ines.refresh_from_db()
    assert [group.name for group in ines.groups.all()] == ["End users"]
    assert prove(admin, asked, password="wrong").status_code == 200
    assert [group.name for group in ines.groups.all()] == ["End users"]
    done = prove(admin, asked)
    assert (done.status_code, done["Location"]) == (302, "/admin/auth/user/")
    ines.refresh_from_db()
    assert ([group.name for group in ines.groups.all()], ines.first_name) == (["Administrators"], "Inés")
    assert AuditEntry.objects.get().kind == AuditEntry.Kind.ACCESS_CHANGED


def test_an_entered_key_is_stored_after_the_proof_and_encrypted_meanwhile(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatars.accounts.forms.check_key", _takes_any_key)
    account = ProviderAccountFactory.create(api_key="the-old-one")
    asked = admin.post(f"/admin/avatars/provideraccount/{account.pk}/change/", form(api_key=KEY))
    assert "sk-" not in json.dumps([row.get_decoded() for row in Session.objects.all()])
    assert ProviderAccount.objects.get().api_key == "the-old-one"
    prove(admin, asked)
    assert ProviderAccount.objects.get().api_key == KEY
    assert "post" not in json.dumps([row.get_decoded() for row in Session.objects.all()])


async def _takes_any_key(account: ProviderAccount) -> None:
    pass


def test_inviting_needs_a_proof(admin: Client) -> None:
    group = Group.objects.get(name="Administrators")
    asked = admin.post("/admin/heygen_portal/invitation/add/", {"email": "ines@example.org", "group": group.pk})
    assert not Invitation.objects.exists()
    prove(admin, asked)
    assert Invitation.objects.get().email == "ines@example.org"


def test_setting_another_users_password_needs_a_proof(admin: Client) -> None:
    ines = EndUserFactory.create(username="ines")
    new = {"password1": "another-long-passphrase", "password2": "another-long-passphrase", "usable_password": "true"}
    asked = admin.post(f"/admin/auth/user/{ines.pk}/password/", new)
    ines.refresh_from_db()
    assert not ines.check_password("another-long-passphrase")
    prove(admin, asked)
    ines.refresh_from_db()
    assert ines.check_password("another-long-passphrase")


def test_removing_another_users_second_factor_needs_a_proof(admin: Client) -> None:
    """The theme's script submits dialogs and must not end on an empty page."""
    ines = EndUserFactory.create(username="ines")
    Authenticator.objects.create(user=ines, type="totp", data={})
    path = f"/admin/auth/user/{ines.pk}/remove_second_factor/"
    asked = admin.post(path, {"_form_submitted": "on"}, headers={"hx-request": "true"})
    assert Authenticator.objects.exists()
    assert prove(admin, asked)["Location"] == f"/admin/auth/user/{ines.pk}/change/"
    assert not Authenticator.objects.exists()


def test_removing_ones_own_second_factor_needs_a_proof(client: Client, administrator: User) -> None:
    Authenticator.objects.create(user=administrator, type="totp", data={})
    client.force_login(administrator)
    asked = client.post("/accounts/second-factor/remove/")
    assert Authenticator.objects.exists()
    prove(client, asked)
    client.post("/accounts/second-factor/remove/")
    assert not Authenticator.objects.exists()


def test_erasing_another_users_speech_needs_a_proof(admin: Client) -> None:
    session = ended_session(EndUserFactory.create())
    asked = admin.post("/admin/avatar_sessions/erasure/add/", {"session": session.pk})
    assert texts(session) == [SECRET]
    prove(admin, asked)
    assert texts(session) == [""]


@pytest.mark.parametrize("of_one", [True, False], ids=["one session", "a list"])
def test_exporting_needs_a_proof(admin: Client, of_one: bool) -> None:
    session = StreamingSessionFactory.create()
    path = f"/admin/avatar_sessions/streamingsession/{session.pk}/export/" if of_one else NEW_EXPORT
    posted = {"format": "json"} if of_one else {"what": "sessions", "format": "csv"}
    assert admin.get(path)["Location"].startswith(AGAIN)
    asked = admin.post(path, posted)
    assert not Export.objects.exists()
    assert prove(admin, asked)["Content-Disposition"].startswith("attachment")
    assert Export.objects.count() == 1


def test_downloading_an_export_needs_a_proof(admin: Client, administrator: User) -> None:
    export = Export.objects.create(asked_by=administrator, what="sessions", format="csv", state="ready")
    export.path.parent.mkdir(parents=True, exist_ok=True)
    export.path.write_bytes(b"x")
    try:
        asked = admin.get(f"/admin/avatar_sessions/export/{export.pk}/file/")
        assert prove(admin, asked)["Location"] == f"/admin/avatar_sessions/export/{export.pk}/change/"
        assert admin.get(f"/admin/avatar_sessions/export/{export.pk}/file/").status_code == 200
    finally:
        export.path.unlink()


def test_a_proof_lasts_ten_minutes(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    age_login(client, seconds=590)
    assert client.get(NEW_EXPORT).status_code == 200
    age_login(client, seconds=11)
    assert client.get(NEW_EXPORT).status_code == 302


def test_a_proof_from_the_future_does_not_count(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    age_login(client, seconds=-3600)
    assert client.get(NEW_EXPORT).status_code == 302


def test_an_abandoned_form_is_not_sent_by_a_later_proof(admin: Client) -> None:
    ines = EndUserFactory.create(username="ines")
    admin.post(f"/admin/auth/user/{ines.pk}/change/", roles_form(ines, roles.ADMINISTRATOR))
    answer = admin.post(AGAIN, {"password": PASSWORD, "next": "/accounts/second-factor/"})
    assert answer["Location"] == "/accounts/second-factor/"
    assert [group.name for group in ines.groups.all()] == ["End users"]


def test_a_form_too_large_to_keep_returns_to_its_page(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sudo, "MAX_KEPT_FORM_CHARACTERS", 10)
    asked = admin.post(NEW_EXPORT, {"what": "sessions", "format": "csv"})
    assert prove(admin, asked)["Location"] == NEW_EXPORT
    assert not Export.objects.exists()


# Users who can only sign in with the directory


@pytest.fixture
def ines() -> User:
    ines = User.objects.create_superuser("ines@example.org", "ines@example.org")
    SocialAccount.objects.create(user=ines, provider="sso", uid="4711")
    return ines


@pytest.fixture
def from_the_directory(client: Client, ines: User, oidc_directory: Directory) -> Client:
    client.force_login(ines)
    age_login(client)
    return client


def sign_in_again(client: Client, asked: Any) -> Any:
    """Press the button, sign in at the directory, and follow the redirects."""
    assert asked["Location"].startswith(AT_THE_DIRECTORY)
    onward = parse_qs(urlsplit(asked["Location"]).query)["next"][0]
    assert onward in client.get(asked["Location"]).content.decode()
    away = client.post(AT_THE_DIRECTORY, {"next": onward})["Location"]
    assert {"prompt": ["login"], "max_age": ["0"]}.items() <= parse_qs(urlsplit(away).query).items()
    back = urlsplit(httpx.get(away).headers["Location"])
    return client.get(f"{back.path}?{back.query}", follow=True)


def test_a_user_without_a_password_proves_identity_at_the_directory(
    from_the_directory: Client,
    ines: User,
    oidc_directory: Directory,
) -> None:
    oidc_directory.token_claims = {"auth_time": int(time.time())}
    nora = EndUserFactory.create(username="nora")
    before = from_the_directory.cookies["sessionid"].value
    asked = from_the_directory.post(f"/admin/auth/user/{nora.pk}/change/", roles_form(nora, roles.EDITOR))
    assert sign_in_again(from_the_directory, asked).status_code == 200
    assert [group.name for group in nora.groups.all()] == ["Editors"]
    assert from_the_directory.cookies["sessionid"].value == before  # still the same login session
    assert from_the_directory.get(NEW_EXPORT).status_code == 200


@pytest.mark.parametrize(
    ("person", "auth_time"),
    [
        ({"sub": "4712", "email": "eve@example.org"}, 0),
        ({"sub": "4712", "email": "administrator@example.org"}, 0),
        ({}, -3600),
        ({}, 3600),
    ],
    ids=["a stranger", "another person of the portal", "an old sign-in", "one of the future"],
)
def test_a_directory_sign_in_of_another_user_or_an_old_one_is_no_proof(
    from_the_directory: Client,
    administrator: User,
    oidc_directory: Directory,
    person: dict[str, str],
    auth_time: int,
) -> None:
    oidc_directory.person |= person
    oidc_directory.token_claims = {"auth_time": int(time.time()) + auth_time}
    asked = from_the_directory.get(NEW_EXPORT)
    assert sign_in_again(from_the_directory, asked).status_code == 403
    assert from_the_directory.get(NEW_EXPORT).status_code == 302
    assert User.objects.count() == 2


def test_proofs_at_the_directory_have_a_budget(from_the_directory: Client) -> None:
    with override_settings(BUDGETS={"single_sign_on.person": "2/minute"}):
        statuses = [from_the_directory.post(AT_THE_DIRECTORY).status_code for _ in range(3)]
    assert statuses == [302, 302, 429]


def test_a_user_without_a_proof_method_is_asked_to_sign_in_again(client: Client) -> None:
    client.force_login(User.objects.create_superuser("locked"))
    age_login(client)
    answer = client.get(NEW_EXPORT, headers={"accept-language": "en"})
    assert answer.status_code == 403
    assert "sign in again" in answer.content.decode()
