"""The catalogue is synced from the provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import AsyncMock, Mock

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from PIL import Image

from avatars.catalogue.sync import Changes, SyncResult, sync_catalogue
from avatars.models import Avatar, KnowledgeBase, ProviderAccount, Voice
from heygen_portal.providers.contract.provider import CatalogueAvatar, ProviderRejected, ProviderUnreachable
from tests.avatars.conftest import picture
from tests.support.factories import AvatarFactory, ProviderAccountFactory

pytestmark = pytest.mark.django_db(transaction=True)

sync = async_to_sync(sync_catalogue)


@pytest.fixture
def account() -> ProviderAccount:
    return ProviderAccountFactory.create()


@contextmanager
def preview() -> Iterator[Image.Image]:
    """The stored preview of the only avatar."""
    with Avatar.objects.get().preview.open("rb") as file, Image.open(file) as shown:
        yield shown


def test_the_catalogue_is_stored(account: ProviderAccount, provider: Mock) -> None:
    one = Changes(listed=1, new=1)
    assert sync(account) == SyncResult(avatars=one, voices=one, knowledge_bases=one)
    avatar, voice, base = Avatar.objects.get(), Voice.objects.get(), KnowledgeBase.objects.get()
    assert (avatar.name, avatar.provider_avatar_id, avatar.default_provider_voice_id) == ("Lucía", "A1", "V1")
    assert (voice.language, voice.gender, voice.has_emotions) == ("es", "female", True)
    assert (base.opening, base.prompt) == ("Hola", "Somos…")
    account.refresh_from_db()
    assert account.synced_at


def test_a_voice_that_stops_working_live_is_not_offered(
    account: ProviderAccount, provider: Mock, admin_client: Client
) -> None:
    def offered() -> bool:
        query = {"app_label": "avatars", "model_name": "persona", "field_name": "voice", "term": "clara"}
        return bool(admin_client.get("/admin/autocomplete/", query).json()["results"])

    sync(account)
    assert offered()
    [voice] = provider.list_voices.return_value
    provider.list_voices.return_value = [replace(voice, is_live=False)]
    assert sync(account).voices == Changes(listed=1, changed=1)
    assert not offered()


def test_an_unlisted_entry_is_gone_until_listed_again(account: ProviderAccount, provider: Mock) -> None:
    sync(account)
    offers = provider.list_avatars.return_value
    provider.list_avatars.return_value = []
    sync(account)
    gone_at = Avatar.objects.get().gone_at
    assert gone_at
    sync(account)
    assert Avatar.objects.get().gone_at == gone_at  # since when, not when last looked
    provider.list_avatars.return_value = [replace(offers[0], name="Lucía nueva")]
    sync(account)
    assert (Avatar.objects.get().gone_at, Avatar.objects.get().name) == (None, "Lucía nueva")


def test_personas_may_speak_the_languages_that_the_provider_lists(account: ProviderAccount, provider: Mock) -> None:
    assert list(account.persona_languages) == ["es", "en"]  # before the first sync
    provider.list_languages.return_value = ["es", "en", "ar", "he"]
    sync(account)
    account.refresh_from_db()
    assert list(account.persona_languages) == ["es", "en", "ar", "he"]


@pytest.mark.parametrize("refusal", [None, ProviderRejected("/v1/languages: no", code="4", status=404)])
def test_without_such_a_list_personas_may_speak_the_languages_of_live_voices(
    account: ProviderAccount, provider: Mock, refusal: ProviderRejected | None
) -> None:
    provider.list_languages.side_effect = refusal
    [clara] = provider.list_voices.return_value
    spoken = {"V2": ("ar", True), "V3": ("", True), "V4": ("fr", False)}
    provider.list_voices.return_value += [
        replace(clara, provider_voice_id=key, language=language, is_live=is_live)
        for key, (language, is_live) in spoken.items()
    ]
    sync(account)
    account.refresh_from_db()
    assert set(account.persona_languages) == {"ar", "en", "es"}


def test_another_accounts_catalogue_is_not_changed(account: ProviderAccount, provider: Mock) -> None:
    theirs = AvatarFactory.create(provider_avatar_id="A1", name="Otra")
    sync(account)
    theirs.refresh_from_db()
    assert (theirs.name, theirs.gone_at) == ("Otra", None)
    assert Avatar.objects.count() == 2


def test_an_unreadable_list_changes_nothing(account: ProviderAccount, provider: Mock) -> None:
    sync(account)
    provider.list_avatars.return_value = []
    provider.list_voices.side_effect = ProviderUnreachable("cut")
    with pytest.raises(ProviderUnreachable):
        sync(account)
    assert Avatar.objects.get().gone_at is None


def test_a_preview_is_stored_and_served_by_the_portal(account: ProviderAccount, provider: Mock) -> None:
    sync(account)
    avatar = Avatar.objects.get()
    with preview() as shown:
        assert (shown.format, shown.size) == ("WEBP", (4, 3))
    assert avatar.preview_url == f"/avatars/{avatar.pk}/preview/"


def test_a_preview_with_a_new_signature_is_not_fetched_again(account: ProviderAccount, provider: Mock) -> None:
    sync(account)
    offer = provider.list_avatars.return_value[0]
    provider.list_avatars.return_value = [replace(offer, preview_url="https://cdn.test/a1.png?sig=2")]
    sync(account)
    provider.download.assert_awaited_once()


def test_a_new_preview_replaces_the_old_one(account: ProviderAccount, provider: Mock) -> None:
    sync(account)
    old = str(Avatar.objects.get().preview.name)
    offer = provider.list_avatars.return_value[0]
    provider.list_avatars.return_value = [replace(offer, preview_url="https://cdn.test/a2.jpg")]
    provider.download.return_value = picture("JPEG", (8, 6))
    sync(account)
    with preview() as shown:
        assert shown.size == (8, 6)
    assert not Avatar.objects.get().preview.storage.exists(old)


def test_a_preview_is_resized_and_stripped_of_metadata(account: ProviderAccount, provider: Mock) -> None:
    exif = Image.Exif()
    exif[0x010E] = "where it was taken"
    exif[0x0112] = 6  # lies on its side
    provider.download.return_value = picture("JPEG", (1440, 2560), exif=exif)
    sync(account)
    with preview() as shown:
        assert (shown.size, dict(shown.getexif())) == ((1280, 720), {})


def test_a_preview_keeps_its_transparency(account: ProviderAccount, provider: Mock) -> None:
    provider.download.return_value = picture(mode="RGBA")
    sync(account)
    with preview() as shown:
        assert shown.has_transparency_data


def test_a_preview_of_another_format_is_fetched_again(account: ProviderAccount, provider: Mock) -> None:
    sync(account)
    Avatar.objects.update(preview="previews/1-0123456789abcdef.png")
    sync(account)
    assert str(Avatar.objects.get().preview.name).endswith(".webp")


@pytest.mark.parametrize(
    "content",
    [
        b"<html><script>",
        b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"",
        b"\x89PNG\r\n\x1a\n<script>",
        picture()[:40],
        picture("GIF"),
        picture(size=(8_000, 6_000), mode="1"),  # one bit per pixel is drawn quickly
    ],
    ids=("page", "drawing", "nothing", "disguise", "half", "gif", "huge"),
)
def test_only_valid_images_become_previews(account: ProviderAccount, provider: Mock, content: bytes) -> None:
    provider.download.return_value = content
    assert sync(account).previews_missing == 1
    assert Avatar.objects.get().preview_url == ""


def test_a_missing_preview_does_not_stop_the_sync(account: ProviderAccount, provider: Mock) -> None:
    provider.download = AsyncMock(side_effect=ProviderUnreachable("cut"))
    assert sync(account).previews_missing == 1
    assert Avatar.objects.get().name == "Lucía"


def test_too_long_names_and_ids_do_not_stop_the_sync(account: ProviderAccount, provider: Mock) -> None:
    provider.list_avatars.return_value = [
        CatalogueAvatar("A" * 201, "too long an ID", "", "", is_active=True),
        CatalogueAvatar("A2", "n" * 300, "", "", is_active=True),
    ]
    sync(account)
    assert Avatar.objects.get().name == "n" * 200


def test_unstorable_characters_are_removed(account: ProviderAccount, provider: Mock) -> None:
    provider.list_avatars.return_value = [
        CatalogueAvatar("A\0", "no ID", "", "", is_active=True),
        CatalogueAvatar("A2", "Lu\0cía \ud800", "", "", is_active=True),
    ]
    sync(account)
    assert Avatar.objects.get().name == "Lucía ?"
