"""Cards, persona pages and the help page show whether text or voice is accepted."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from django.test import Client

from avatars.models import accounts
from heygen_portal.providers import capabilities_of
from tests.support.factories import AvatarFactory, EndUserFactory, PersonaFactory, ProviderAccountFactory

pytestmark = pytest.mark.django_db

ENGLISH = {"accept-language": "en"}
YES, NO = "Yes", "No"


@pytest.fixture
def user_client(client: Client) -> Client:
    client.force_login(EndUserFactory.create())
    return client


def takes(page: str, row: str) -> dict[str, str]:
    """Return one row of the help page, such as {"text": "Yes", "voice": "No"}."""
    found = re.search(rf"<tr {row}.*?</tr>", page, re.DOTALL)
    assert found, row
    cells = re.findall(r'data-takes="(\w+)">(.*?)</td>', found.group(), re.DOTALL)
    return {name: re.sub(r"<[^>]+>", "", cell).strip() for name, cell in cells}


def page_of(client: Client, address: str) -> str:
    return client.get(address, headers=ENGLISH).content.decode()


@pytest.mark.parametrize(("text", "voice"), [(True, True), (True, False), (False, True)])
def test_the_help_page_shows_the_providers_inputs(
    user_client: Client, monkeypatch: pytest.MonkeyPatch, text: bool, voice: bool
) -> None:
    """Requirements 72, 78 and 79."""
    can = replace(capabilities_of("heygen"), takes_text=text, takes_voice=voice)
    monkeypatch.setattr(accounts, "capabilities_of", lambda kind: can)
    PersonaFactory.create(slug="lucia", published=True)
    expected = {"text": YES if text else NO, "voice": YES if voice else NO}
    page = page_of(user_client, "/help/")
    assert takes(page, 'data-persona="lucia"') == expected
    assert takes(page, 'data-kind="live"') == expected
    assert takes(page, 'data-kind="recorded"') == {"text": YES, "voice": NO}
    for address in ("/", "/personas/lucia/"):
        badges = re.search(r'class="badges".*?</p>', page_of(user_client, address), re.DOTALL)
        assert badges
        assert ("Text</span>" in badges.group(), "Voice</span>" in badges.group()) == (text, voice)


@pytest.mark.parametrize(("voice", "videos"), [(True, True), (False, False)])
def test_an_avatars_page_shows_its_supported_uses(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, voice: bool, videos: bool
) -> None:
    """Requirements 72 and 78, for staff."""
    can = replace(capabilities_of("heygen"), takes_voice=voice, makes_videos=videos)
    monkeypatch.setattr(accounts, "capabilities_of", lambda kind: can)
    page = page_of(admin_client, f"/admin/avatars/avatar/{AvatarFactory.create().pk}/change/")
    assert ("Live, from text and voice" if voice else "Live, from text") in page
    assert ("recorded video from text; sound files are not accepted" in page) is videos


@pytest.mark.parametrize("videos", [True, False])
def test_the_help_page_promises_recorded_videos_only_where_a_provider_makes_them(
    user_client: Client, monkeypatch: pytest.MonkeyPatch, videos: bool
) -> None:
    can = replace(capabilities_of("heygen"), makes_videos=videos)
    monkeypatch.setattr(accounts, "capabilities_of", lambda kind: can)
    PersonaFactory.create(published=True)
    assert ("ecorded video" in page_of(user_client, "/help/")) is videos


@pytest.mark.parametrize("voice", [True, False])
def test_the_gallery_promises_no_microphone_only_without_voice(
    user_client: Client, monkeypatch: pytest.MonkeyPatch, voice: bool
) -> None:
    monkeypatch.setattr(accounts, "capabilities_of", lambda kind: replace(capabilities_of("heygen"), takes_voice=voice))
    PersonaFactory.create(published=True)
    assert ("Your camera and microphone are not used" in page_of(user_client, "/")) is not voice


def test_the_help_page_says_if_only_some_personas_take_voice(
    user_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requirement 79: audio if enabled."""
    can = capabilities_of("heygen")
    kinds = {"heygen": replace(can, takes_voice=False), "other": replace(can, takes_voice=True)}
    monkeypatch.setattr(accounts, "capabilities_of", kinds.__getitem__)
    PersonaFactory.create(slug="lucia", published=True)
    PersonaFactory.create(slug="daniel", published=True, avatar__account=ProviderAccountFactory.create(kind="other"))
    assert takes(page_of(user_client, "/help/"), 'data-kind="live"') == {"text": YES, "voice": "Some personas"}
