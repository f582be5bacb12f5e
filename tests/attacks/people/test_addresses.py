"""Proxies write addresses in several formats.

Sign-in works with all, and the right address is stored.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory, override_settings

from heygen_portal.runtime import client_address
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry

LOGIN = "/accounts/login/"
PASSWORD = "wj3-longer-than-most"
PEER = "192.0.2.1"

WRITTEN = [
    ("203.0.113.7:51234", "203.0.113.7"),
    ("203.0.113.7:", "203.0.113.7"),
    ("[2001:db8::1]:443", "2001:db8::1"),
    ("[2001:db8::1]", "2001:db8::1"),
    ('"[2001:db8::1]:443"', "2001:db8::1"),
    ("2001:DB8:0::1", "2001:db8::1"),
    ("fe80::1%eth0", "fe80::1"),
    ("::ffff:203.0.113.7", "203.0.113.7"),
    ("[::ffff:203.0.113.7]:8080", "203.0.113.7"),
    ("::ffff:cb00:7107", "203.0.113.7"),
    ("198.51.100.9, 203.0.113.7:51234", "203.0.113.7"),
    ("203.0.113.7:51234, 198.51.100.9", "198.51.100.9"),
    # No valid address, so the peer is used.
    (None, PEER),
    ("", PEER),
    ("unknown", PEER),
    ("_hidden:x", PEER),
    ("[2001:db8::1", PEER),
    ("203.0.113.7:51234:1", PEER),
    ("203.0.113.7,", PEER),
    ("١.٢.٣.٤", PEER),
    ("1" * 5000, PEER),
]


def header(forwarded: str | None) -> dict[str, Any]:
    return {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}


@pytest.mark.parametrize(("forwarded", "stored"), WRITTEN)
def test_the_right_address_is_read(forwarded: str | None, stored: str) -> None:
    with override_settings(PROXY_COUNT=1):
        assert client_address.of(RequestFactory().get("/", REMOTE_ADDR=PEER, **header(forwarded))) == stored


@pytest.mark.django_db
@pytest.mark.parametrize(
    "forwarded", ["203.0.113.7:51234", "[2001:db8::1]:443", None, "::ffff:203.0.113.7", "unknown", "a:b:c"]
)
def test_users_can_sign_in_through_these_proxies(forwarded: str | None) -> None:
    User.objects.create_user("ines", "ines@example.org", PASSWORD)
    browser = Client(REMOTE_ADDR=PEER, **header(forwarded))
    with override_settings(PROXY_COUNT=1):
        assert browser.post(LOGIN, {"login": "ines", "password": "wrong"}).status_code == 200
        assert browser.post(LOGIN, {"login": "ines", "password": PASSWORD}).status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("forwarded", ["203.0.113.7:51234", "::ffff:203.0.113.7", "[::ffff:cb00:7107]:1"])
def test_the_audit_log_stores_the_address_without_port_or_mapping(forwarded: str) -> None:
    ines = User.objects.create_user("ines")
    request = RequestFactory().get("/", REMOTE_ADDR=PEER, **header(forwarded))
    request.user = ines
    with override_settings(PROXY_COUNT=1):
        entry = audit_log.record(request, AuditEntry.Kind.PASSWORD_SET, ines)
    entry.refresh_from_db()
    assert entry.address == "203.0.113.7"


@pytest.mark.django_db
def test_sign_in_works_on_a_unix_socket_without_a_header() -> None:
    User.objects.create_user("ines", "ines@example.org", PASSWORD)
    with override_settings(PROXY_COUNT=1):
        assert Client(REMOTE_ADDR="").post(LOGIN, {"login": "ines", "password": PASSWORD}).status_code == 302


@pytest.mark.parametrize(("forwarded", "stored"), WRITTEN)
def test_a_websocket_has_the_same_address(forwarded: str | None, stored: str) -> None:
    lines = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode("utf-8"))]
    with override_settings(PROXY_COUNT=1):
        assert client_address.of_socket({"headers": lines, "client": (PEER, 1)}) == stored


@pytest.mark.parametrize(
    "lines", [["198.51.100.9, 203.0.113.7:1", "10.0.0.2"], ["198.51.100.9", "203.0.113.7", "10.0.0.2"]]
)
def test_a_header_in_several_lines_counts_as_one(lines: list[str]) -> None:
    with override_settings(PROXY_COUNT=2):
        scope = {"headers": [(b"x-forwarded-for", line.encode()) for line in lines], "client": (PEER, 1)}
        assert client_address.of_socket(scope) == "203.0.113.7"


def test_a_header_with_fewer_entries_than_proxies_is_ignored() -> None:
    with override_settings(PROXY_COUNT=2):
        scope = {"headers": [(b"x-forwarded-for", b"203.0.113.7")], "client": (PEER, 1)}
        assert client_address.of_socket(scope) == PEER
