"""Signing out on all devices."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from heygen_portal.people.access import logins
from tests.support.factories import EndUserFactory

pytestmark = pytest.mark.django_db

EVERYWHERE = "/accounts/logout/everywhere/"


@pytest.fixture
def ines() -> User:
    return EndUserFactory.create(username="ines")


def signed_in(user: User, count: int) -> list[Client]:
    clients = [Client() for _ in range(count)]
    for client in clients:
        client.force_login(user)
    return clients


def is_in(client: Client) -> bool:
    return client.get("/help/").status_code == 200


def test_signing_out_elsewhere_ends_only_the_users_other_sessions(ines: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "ROWS_PER_PAGE", 2)
    here, *elsewhere = signed_in(ines, 4)
    (other,) = signed_in(EndUserFactory.create(username="nora"), 1)
    page = here.post(EVERYWHERE, headers={"accept-language": "en"}).content.decode()
    assert "3 other logins have been ended" in page
    assert [is_in(client) for client in (here, other)] == [True, True]
    assert not any(is_in(client) for client in elsewhere)


def test_signing_out_everywhere_ends_this_session_too(ines: User) -> None:
    here, there = signed_in(ines, 2)
    assert here.post(EVERYWHERE, {"here": "too"})["Location"] == "/accounts/login/"
    assert not is_in(here)
    assert not is_in(there)


def test_a_user_whose_id_has_the_same_prefix_stays_signed_in(ines: User) -> None:
    (namesake,) = signed_in(EndUserFactory.create(pk=ines.pk * 10 + 1), 1)
    (here,) = signed_in(ines, 1)
    assert here.post(EVERYWHERE).context["ended"] == 0
    assert is_in(namesake)


def test_a_get_request_signs_no_one_out(ines: User) -> None:
    (here,) = signed_in(ines, 1)
    (there,) = signed_in(ines, 1)
    assert here.get(EVERYWHERE)["Location"] == "/accounts/second-factor/"
    assert is_in(there)
