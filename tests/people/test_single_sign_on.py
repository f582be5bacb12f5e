"""Single sign-on with a real code flow against a small real directory."""

from __future__ import annotations

from typing import Any, cast
from unittest.mock import patch
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client, override_settings

from heygen_portal.models import Invitation
from heygen_portal.people.access import roles
from heygen_portal.people.invitations import joining
from heygen_portal.people.sign_in.adapters import SingleSignOnAdapter
from heygen_portal.trail.models import AuditEntry
from tests.people.directory import Directory
from tests.people.test_invitations import invited

pytestmark = pytest.mark.django_db


def sign_in(client: Client) -> HttpResponse:
    """Press the button and follow the redirects to the directory and back."""
    away = client.post("/accounts/sso/sso/?next=/help/")
    assert away.status_code == 302
    back = urlsplit(httpx.get(away["Location"]).headers["Location"])
    assert (back.netloc, back.path) == ("testserver", "/accounts/sso/sso/callback/")
    return cast(HttpResponse, client.get(f"{back.path}?{back.query}"))


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_an_unexpected_person_is_turned_away(client: Client, oidc_directory: Directory) -> None:
    answer = sign_in(client)
    assert not is_in(client)
    assert not User.objects.exists()
    assert "invit" in answer.content.decode()


def test_a_person_of_an_allowed_domain_gets_in_without_a_role(client: Client, oidc_directory: Directory) -> None:
    with override_settings(OIDC_DOMAINS=["example.org"]):
        answer = sign_in(client)
    assert answer["Location"] == "/help/"
    ines = User.objects.get()
    assert (ines.username, ines.first_name, ines.last_name) == ("ines@example.org", "Inés", "Example")
    assert not ines.groups.exists()
    assert not ines.get_all_permissions()
    assert not ines.has_usable_password()
    assert AuditEntry.objects.get().kind == AuditEntry.Kind.JOINED


@pytest.mark.parametrize("where", ["is_expected", "is_auto_signup_allowed", "save_user"])
def test_of_two_first_sign_ins_at_once_one_has_to_be_repeated(
    client: Client, oidc_directory: Directory, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner: Any = joining if where == "is_expected" else SingleSignOnAdapter
    real = getattr(owner, where)

    def other_is_quicker(*args: Any, **more: Any) -> Any:
        answer = real(*args, **more) if where == "is_expected" else None
        if not User.objects.exists():
            User.objects.create_user("ines@example.org", "ines@example.org")
        return answer or real(*args, **more)

    monkeypatch.setattr(owner, where, other_is_quicker)
    with override_settings(OIDC_DOMAINS=["example.org"]):
        answer = sign_in(client)
    assert answer.status_code == 302
    assert client.get(answer["Location"], follow=True).redirect_chain[-1:] in ([], [("/accounts/login/", 302)])
    assert not is_in(client)
    sign_in(client)
    assert is_in(client)


def test_an_invited_person_gets_the_role_and_uses_up_the_invitation(client: Client, oidc_directory: Directory) -> None:
    invitation = invited("ines@example.org", roles.OPERATOR)
    sign_in(client)
    ines = User.objects.get(username="ines@example.org")
    assert [group.name for group in ines.groups.all()] == ["Operators"]
    assert ines.is_staff
    invitation.refresh_from_db()
    assert invitation.used_by == ines
    assert not Invitation.objects.open().exists()


def test_an_existing_user_is_found_by_address_and_keeps_their_roles(client: Client, oidc_directory: Directory) -> None:
    ines = User.objects.create_user("ines", "Ines@example.org", "a-long-passphrase")
    ines.groups.add(Group.objects.get(name="Editors"))
    sign_in(client)
    assert client.session["_auth_user_id"] == str(ines.pk)
    assert User.objects.count() == 1
    assert ines.groups.get().name == "Editors"


@pytest.mark.parametrize(
    "wrong",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email": ""},
    ],
    ids=["not verified", "nothing stated", "no address"],
)
def test_an_unverified_address_is_refused(client: Client, oidc_directory: Directory, wrong: dict[str, Any]) -> None:
    User.objects.create_user("ines", "ines@example.org", "a-long-passphrase")
    oidc_directory.person |= wrong
    with override_settings(OIDC_DOMAINS=["example.org"]):
        sign_in(client)
    assert not is_in(client)
    assert User.objects.count() == 1


@pytest.mark.parametrize("address", ["\u212aim@example.org", "kim@\u017fome.example", "k\u0131m@example.org"])
def test_an_address_that_only_looks_like_a_users_does_not_find_them(
    client: Client, oidc_directory: Directory, address: str
) -> None:
    """Some letters beyond ASCII become ASCII letters in another case: the Kelvin sign, the long s, the dotless i."""
    for own in ("kim@example.org", "kim@some.example"):
        User.objects.create_user(own, own, "a-long-passphrase")
    oidc_directory.person |= {"email": address}
    sign_in(client)
    assert not is_in(client)
    invited("kim@elsewhere.example", roles.ADMINISTRATOR)
    oidc_directory.person |= {"email": "\u212aim@elsewhere.example"}
    sign_in(client)
    assert not is_in(client)


@pytest.mark.parametrize(
    "wrong",
    [{"iss": "https://elsewhere.test"}, {"aud": "another-portal"}, {"exp": 1_600_000_000}],
    ids=lambda w: next(iter(w)),
)
def test_a_token_from_another_issuer_for_another_client_or_expired_is_refused(
    client: Client, oidc_directory: Directory, wrong: dict[str, Any]
) -> None:
    oidc_directory.token_claims = wrong
    with override_settings(OIDC_DOMAINS=["example.org"]):
        answer = sign_in(client)
    assert not is_in(client)
    assert not User.objects.exists()
    assert answer.status_code in (200, 401)


def test_an_abandoned_or_foreign_sign_in_ends_signed_out(client: Client, oidc_directory: Directory) -> None:
    oidc_directory.is_refusing = True
    assert sign_in(client)["Location"] == "/accounts/sso/cancelled/"
    oidc_directory.is_refusing = False
    away = Client().post("/accounts/sso/sso/")
    back = urlsplit(httpx.get(away["Location"]).headers["Location"])
    client.get(f"{back.path}?{back.query}")  # another browser's state
    assert not is_in(client)


def test_a_deactivated_user_stays_out(client: Client, oidc_directory: Directory) -> None:
    User.objects.create_user("ines", "ines@example.org", is_active=False)
    assert sign_in(client)["Location"] == "/accounts/inactive/"
    assert not is_in(client)


def test_the_button_is_shown_only_with_a_configured_directory(client: Client, oidc_directory: Directory) -> None:
    page = client.get("/accounts/login/", headers={"accept-language": "en"}).content.decode()
    assert "Sign in with Example" in page
    with override_settings(SOCIALACCOUNT_PROVIDERS={"openid_connect": {"APPS": []}}):
        assert "/accounts/sso/" not in client.get("/accounts/login/").content.decode()
        assert client.post("/accounts/sso/sso/").status_code == 404


def test_an_unreachable_directory_shows_an_error_page(client: Client, oidc_directory: Directory) -> None:
    (app,) = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
    with patch.dict(app["settings"], {"server_url": "http://127.0.0.1:1"}):
        assert client.post("/accounts/sso/sso/").status_code == 502


def test_sign_ins_from_one_address_ask_the_directory_within_a_budget(client: Client, oidc_directory: Directory) -> None:
    with override_settings(BUDGETS={"single_sign_on.address": "2/minute"}):
        statuses = [Client().post("/accounts/sso/sso/", REMOTE_ADDR="192.0.2.7").status_code for _ in range(3)]
        assert (statuses, Session.objects.count()) == ([302, 302, 429], 2)
        assert Client().post("/accounts/sso/sso/", REMOTE_ADDR="192.0.2.8").status_code == 302


def test_a_directory_account_cannot_be_connected_to_a_signed_in_user(client: Client, oidc_directory: Directory) -> None:
    client.force_login(User.objects.create_user("nora"), backend=settings.AUTHENTICATION_BACKENDS[-1])
    assert client.post("/accounts/sso/sso/?process=connect").status_code == 404
