"""A directory server for the tests of single sign-on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from tests.people import directory
from tests.people.directory import CLIENT_ID, CLIENT_SECRET, Directory

INES = {
    "sub": "4711",
    "email": "ines@example.org",
    "email_verified": True,
    "given_name": "Inés",
    "family_name": "Example",
}


@pytest.fixture(scope="module")
def served() -> Iterator[Directory]:
    with directory.serving() as served:
        yield served


@pytest.fixture
def oidc_directory(served: Directory) -> Iterator[Directory]:
    served.person, served.token_claims, served.is_refusing = dict(INES), {}, False
    apps: list[dict[str, Any]] = [
        {
            "provider_id": "sso",
            "name": "Example",
            "client_id": CLIENT_ID,
            "secret": CLIENT_SECRET,
            "settings": {"server_url": served.url, "oauth_pkce_enabled": True, "verified_email": False},
        }
    ]
    with override_settings(SOCIALACCOUNT_PROVIDERS={"openid_connect": {"APPS": apps}}, OIDC_ISSUER=served.url):
        yield served
