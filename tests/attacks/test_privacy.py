"""What people are told, what is kept about them, and how they get at it."""

from __future__ import annotations

import html

import pytest
from django.test import Client, override_settings

from avatars.models import Persona, ProviderAccount
from tests.factories import EndUserFactory, PersonaFactory

pytestmark = pytest.mark.django_db

READERS = "You, and authorized staff"
WATCHED, UNWATCHED = "Authorized staff can watch and listen", "Staff cannot watch or listen"


@pytest.fixture
def visitor(client: Client) -> Client:
    client.force_login(EndUserFactory.create())
    return client


def page(client: Client, path: str, language: str = "en") -> str:
    return html.unescape(client.get(path, headers={"accept-language": language}).content.decode())


def persona(**fields: object) -> Persona:
    made: Persona = PersonaFactory.create(slug="lucia", published=True, **fields)
    return made


@pytest.mark.parametrize(
    ("of_persona", "of_account", "words"),
    [
        (None, None, "kept until you erase it"),
        (1, None, "kept for 1 day,"),
        (None, 30, "kept for 30 days"),
        (90, 30, "kept for 30 days"),
        (0, 30, "kept for 0 days"),
    ],
)
def test_before_start_people_read_who_reads_and_for_how_long(
    visitor: Client, of_persona: int | None, of_account: int | None, words: str
) -> None:
    persona(speech_days=of_persona, avatar__account__speech_days=of_account)
    said = page(visitor, "/personas/lucia/")
    assert READERS in said
    assert words in said


@pytest.mark.parametrize(
    ("rooms", "told", "not_told"),
    [(ProviderAccount.Rooms.OWN, WATCHED, UNWATCHED), (ProviderAccount.Rooms.PROVIDER, UNWATCHED, WATCHED)],
)
def test_before_start_people_read_whether_staff_can_watch(
    visitor: Client, rooms: str, told: str, not_told: str
) -> None:
    persona(avatar__account__rooms=rooms)
    said = page(visitor, "/personas/lucia/")
    assert told in said
    assert not_told not in said


def test_the_organisations_privacy_notice_is_linked_where_one_is_set(visitor: Client) -> None:
    persona()
    assert "Privacy notice" not in page(visitor, "/personas/lucia/")
    with override_settings(PRIVACY_NOTICE_URL="https://example.org/privacy"):
        assert 'href="https://example.org/privacy"' in page(visitor, "/personas/lucia/")
        assert "Aviso de privacidad" in page(visitor, "/personas/lucia/", "es")


@pytest.mark.parametrize(("language", "false", "true"), [
    ("en", "Nothing is recorded", "part of its record"),
    ("es", "No se graba nada", "parte de su registro"),
])  # fmt: skip
def test_the_device_check_does_not_deny_that_its_result_is_recorded(
    visitor: Client, language: str, false: str, true: str
) -> None:
    said = page(visitor, "/check/", language)
    assert false not in said
    assert true in said
