"""The brand in use: kept by each process for some seconds, and safe whatever SQL wrote."""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client

from heygen_portal.branding import current as brands
from heygen_portal.models import Organisation

pytestmark = pytest.mark.django_db


def choose(**columns: Any) -> None:
    """Change the organisation as another process does: nothing tells this one."""
    Organisation.objects.update(**columns)


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    brands.forget()


def test_pages_need_no_query_for_the_brand(client: Client, django_assert_num_queries: Any) -> None:
    client.get("/accounts/login/")
    with django_assert_num_queries(0):
        assert client.get("/accounts/login/").status_code == 200


def test_another_process_sees_a_change_within_seconds() -> None:
    assert brands.current().name == "HeyGen Portal"
    choose(portal_name="Aurora")
    assert brands.current().name == "HeyGen Portal"
    with patch.object(time, "monotonic", return_value=brands._read_again_at):
        assert brands.current().name == "Aurora"
    assert brands.LIFETIME_S <= 5


def test_without_the_database_pages_show_the_brand_that_was_read_last(client: Client) -> None:
    choose(portal_name="Aurora")
    assert brands.current().name == "Aurora"
    brands.forget()
    with patch.object(brands, "_read", side_effect=OperationalError) as read:
        assert "Aurora</title>" in client.get("/accounts/login/").content.decode()
        brands.current()
    assert read.call_count == 1  # not again for each page


@pytest.mark.parametrize(
    "columns",
    [
        {"accent": "red;}"},
        {"accent": "#GGGGGG", "accent_dark": "url(/)"},
        {"logo": "../../etc/passwd", "icon": "0"},
        {"languages": {"es": 1}},
        {"languages": ["xx", 7, None]},
        {"default_persona": None, "mail_name": "Aurora\r\nBcc: thief@example.org"},
    ],
    ids=str,
)
def test_values_that_sql_wrote_are_ignored_or_harmless(columns: dict[str, Any]) -> None:
    choose(**columns)
    brand = brands.current()
    assert (brand.stylesheet, brand.logo, brand.icon) == ("", None, None)
    assert [code for code, _name in brand.languages] == [code for code, _name in settings.LANGUAGES]
    assert "\n" not in brand.mail_name
