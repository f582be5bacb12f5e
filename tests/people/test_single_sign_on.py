"""Signing in through the organisation's own directory: a real code flow against a small real one."""

from __future__ import annotations

from typing import Any, cast
from unittest.mock import patch
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client, override_settings

from heygen_portal.models import Invitation
from heygen_portal.people.access import roles
from heygen_portal.trail.models import AuditEntry
from tests.people.directory import Directory
from tests.people.test_invitations import invited

pytestmark = pytest.mark.django_db


def sign_in(client: Client) -> HttpResponse:
    """Press the button, go where one is sent, and come back."""
    away = client.post("/accounts/sso/sso/?next=/help/")
    assert away.status_code == 302
    back = urlsplit(httpx.get(away["Location"]).headers["Location"])
    assert (back.netloc, back.path) == ("testserver", "/accounts/sso/sso/callback/")
    return cast(HttpResponse, client.get(f"{back.path}?{back.query}"))


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_somebody_whom_nobody_expects_is_turned_away(client: Client, theirs: Directory) -> None:
    answer = sign_in(client)
    assert not is_in(client)
    assert not User.objects.exists()
    assert "invit" in answer.content.decode()


def test_somebody_of_an_allowed_domain_comes_in_without_any_role(client: Client, theirs: Directory) -> None:
    with override_settings(OIDC_DOMAINS=["example.org"]):
        answer = sign_in(client)
    assert answer["Location"] == "/help/"
    ines = User.objects.get()
    assert (ines.username, ines.first_name, ines.last_name) == ("ines@example.org", "Inés", "Example")
    assert not ines.groups.exists()
    assert not ines.get_all_permissions()
    assert not ines.has_usable_password()
    assert AuditEntry.objects.get().kind == AuditEntry.Kind.JOINED


def test_an_invited_person_comes_in_with_the_role_of_the_invitation_which_is_used_up(
    client: Client, theirs: Directory
) -> None:
    invitation = invited("ines@example.org", roles.OPERATOR)
    sign_in(client)
    ines = User.objects.get(username="ines@example.org")
    assert [group.name for group in ines.groups.all()] == ["Operators"]
    assert ines.is_staff
    invitation.refresh_from_db()
    assert invitation.used_by == ines
    assert not Invitation.objects.open().exists()


def test_who_is_here_already_is_known_by_the_address_and_keeps_the_roles(client: Client, theirs: Directory) -> None:
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
    ids=["not verified", "nothing said", "no address"],
)
def test_an_address_that_the_directory_does_not_vouch_for_opens_nothing(
    client: Client, theirs: Directory, wrong: dict[str, Any]
) -> None:
    User.objects.create_user("ines", "ines@example.org", "a-long-passphrase")
    theirs.person |= wrong
    with override_settings(OIDC_DOMAINS=["example.org"]):
        sign_in(client)
    assert not is_in(client)
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    "wrong",
    [{"iss": "https://elsewhere.test"}, {"aud": "another-portal"}, {"exp": 1_600_000_000}],
    ids=lambda w: next(iter(w)),
)
def test_a_token_of_another_directory_for_another_portal_or_of_yesterday_is_refused(
    client: Client, theirs: Directory, wrong: dict[str, Any]
) -> None:
    theirs.token_claims = wrong
    with override_settings(OIDC_DOMAINS=["example.org"]):
        answer = sign_in(client)
    assert not is_in(client)
    assert not User.objects.exists()
    assert answer.status_code in (200, 401)


def test_a_way_that_was_given_up_or_begun_by_somebody_else_ends_signed_out(client: Client, theirs: Directory) -> None:
    theirs.is_refusing = True
    assert sign_in(client)["Location"] == "/accounts/sso/cancelled/"
    theirs.is_refusing = False
    away = Client().post("/accounts/sso/sso/")
    back = urlsplit(httpx.get(away["Location"]).headers["Location"])
    client.get(f"{back.path}?{back.query}")  # another browser's state
    assert not is_in(client)


def test_somebody_who_was_switched_off_stays_out(client: Client, theirs: Directory) -> None:
    User.objects.create_user("ines", "ines@example.org", is_active=False)
    assert sign_in(client)["Location"] == "/accounts/inactive/"
    assert not is_in(client)


def test_the_button_stands_only_where_a_directory_is_set_up(client: Client, theirs: Directory) -> None:
    page = client.get("/accounts/login/", headers={"accept-language": "en"}).content.decode()
    assert "Sign in with Example" in page
    with override_settings(SOCIALACCOUNT_PROVIDERS={"openid_connect": {"APPS": []}}):
        assert "/accounts/sso/" not in client.get("/accounts/login/").content.decode()
        assert client.post("/accounts/sso/sso/").status_code == 404


def test_a_directory_that_does_not_answer_is_a_page_that_says_so(client: Client, theirs: Directory) -> None:
    (app,) = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
    with patch.dict(app["settings"], {"server_url": "http://127.0.0.1:1"}):
        assert client.post("/accounts/sso/sso/").status_code == 502


def test_nobody_ties_a_directorys_account_to_who_is_signed_in(client: Client, theirs: Directory) -> None:
    client.force_login(User.objects.create_user("nora"), backend=settings.AUTHENTICATION_BACKENDS[-1])
    assert client.post("/accounts/sso/sso/?process=connect").status_code == 404
