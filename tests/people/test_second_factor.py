"""Second factor: optional, and required of staff by a setting."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Group, User
from django.test import Client, TestCase, override_settings

from heygen_portal.asgi import application
from heygen_portal.people.access import roles
from heygen_portal.trail.models import AuditEntry
from tests.people.phone import code
from tests.support.factories import EndUserFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db

LOGIN, SET_UP, ASK = "/accounts/login/", "/accounts/second-factor/set-up/", "/accounts/second-factor/ask/"
PASSWORD = "wj3-longer-than-most"


@pytest.fixture
def nora() -> User:
    user = User.objects.create_user("nora", password=PASSWORD, is_staff=True)
    user.groups.add(Group.objects.get(name=roles.OPERATOR.group))
    return user


def sign_in(client: Client, password: str = PASSWORD) -> None:
    client.post(LOGIN, {"login": "nora", "password": password})


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def set_up(client: Client) -> tuple[str, list[str]]:
    """Set up a second factor on its page. Return the secret and the recovery codes."""
    asked = client.get(SET_UP)
    again = asked["Location"] if asked.status_code == 302 else ""
    assert client.post(again, {"password": PASSWORD})["Location"].startswith(SET_UP)
    found = re.search(r'id="secret" value="(\w+)"', client.get(SET_UP).content.decode())
    assert found
    with TestCase.captureOnCommitCallbacks(execute=True):
        page = client.post(SET_UP, {"code": code(found.group(1))}, follow=True).content.decode()
    return found.group(1), re.findall(r"<code>(\d+)</code>", page)


def test_a_second_factor_is_required_and_a_recovery_code_works_once(client: Client, nora: User) -> None:
    sign_in(client)
    secret, codes = set_up(client)
    assert len(codes) == 10
    assert secret not in str(Authenticator.objects.get(type="totp").data)
    client.post("/accounts/logout/")
    sign_in(client)
    assert not is_in(client)
    assert client.get("/", follow=True).redirect_chain[-1][0].startswith(ASK)
    assert client.post(ASK, {"code": "000000"}).status_code == 200
    assert not is_in(client)
    client.post(ASK, {"code": codes[0]})
    assert is_in(client)
    other = Client()
    sign_in(other)
    other.post(ASK, {"code": codes[0]})
    assert not is_in(other)
    assert AuditEntry.objects.get().kind == AuditEntry.Kind.SECOND_FACTOR_ON


def test_staff_must_set_up_a_required_second_factor_first(client: Client, nora: User) -> None:
    sign_in(client)
    with override_settings(STAFF_NEEDS_SECOND_FACTOR=True):
        for path in ("/", "/admin/", "/conversations/", "/accounts/password/", "/accounts/second-factor/"):
            assert client.get(path)["Location"] == SET_UP
        assert client.post("/check/room")["Location"] == SET_UP
        set_up(client)
        assert client.get("/admin/").status_code == 200


def test_end_users_need_no_second_factor(client: Client) -> None:
    client.force_login(EndUserFactory.create())
    with override_settings(STAFF_NEEDS_SECOND_FACTOR=True):
        assert client.get("/").status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_staff_without_a_second_factor_open_no_sockets(nora: User) -> None:
    client = Client()
    await client.aforce_login(nora)
    cookie = f"sessionid={client.cookies['sessionid'].value}".encode()
    headers = [(b"cookie", cookie), (b"origin", b"http://localhost"), (b"host", b"localhost")]
    with override_settings(STAFF_NEEDS_SECOND_FACTOR=True):
        tab = WebsocketCommunicator(application, "/ws/personas/lucia/", headers=headers)
        assert await tab.connect(timeout=WAIT_TIMEOUT_S) == (False, 4401)
    tab = WebsocketCommunicator(application, "/ws/personas/lucia/", headers=headers)
    assert await tab.connect(timeout=WAIT_TIMEOUT_S) == (
        False,
        4404,
    )  # the user is accepted now, but the persona does not exist


def test_an_administrator_removes_a_lost_second_factor_on_record(
    admin_client: Client, client: Client, nora: User
) -> None:
    sign_in(client)
    set_up(client)
    admin_client.post(f"/admin/auth/user/{nora.pk}/remove_second_factor/", {"_form_submitted": "on"})
    other = Client()
    sign_in(other)
    assert is_in(other)
    assert [entry.kind for entry in AuditEntry.objects.all()] == ["second_factor_off", "second_factor_on"]
