"""Pages of other origins cannot open a socket with a user's cookies."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from heygen_portal.server import origins

PORTAL = "portal.example.org"


def may_open(origin: str | None, host: str = PORTAL, scheme: str = "ws", **headers: str) -> bool:
    sent = {"host": host, **({} if origin is None else {"origin": origin}), **headers}
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/ws/board/",
        "scheme": scheme,
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode("latin1")) for name, value in sent.items()],
    }
    return origins.is_own_origin(scope)


@override_settings(ALLOWED_HOSTS=[PORTAL, "localhost"])
@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (f"http://{PORTAL}", PORTAL),
        (f"http://{PORTAL}:8000", f"{PORTAL}:8000"),
        (f"http://{PORTAL.upper()}", PORTAL),
        ("http://localhost:8000", "localhost:8000"),
    ],
)
def test_the_portal_s_own_pages_open_sockets(origin: str, host: str) -> None:
    assert may_open(origin, host)


@override_settings(ALLOWED_HOSTS=[PORTAL, "localhost"])
@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        f"http://{PORTAL}:8001",  # another program on the same host
        f"https://{PORTAL}",
        f"http://{PORTAL}:80@elsewhere.test",
        f"http://{PORTAL}/",
        f"http://sub.{PORTAL}",
        "http://localhost",  # another host of the portal than the request's
        "file://",
    ],
)
def test_pages_of_another_scheme_host_or_port_open_no_sockets(origin: str | None) -> None:
    assert not may_open(origin)


@override_settings(ALLOWED_HOSTS=[PORTAL])
def test_a_foreign_host_is_refused_even_for_its_own_pages() -> None:
    assert not may_open("http://elsewhere.test", "elsewhere.test")


@override_settings(ALLOWED_HOSTS=[PORTAL], SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"))
def test_behind_a_tls_proxy_pages_have_an_https_origin() -> None:
    assert may_open(f"https://{PORTAL}", x_forwarded_proto="https")
    assert not may_open(f"http://{PORTAL}", x_forwarded_proto="https")


@override_settings(ALLOWED_HOSTS=[PORTAL])
def test_proxy_headers_are_trusted_only_if_configured() -> None:
    assert not may_open(f"https://{PORTAL}", x_forwarded_proto="https")
    assert not may_open("http://elsewhere.test", x_forwarded_host="elsewhere.test")


@override_settings(ALLOWED_HOSTS=[PORTAL], CSRF_TRUSTED_ORIGINS=["https://other.example.org"])
def test_trusted_origins_may_open_sockets() -> None:
    assert may_open("https://other.example.org")
    assert not may_open("https://other.example.org:8443")
