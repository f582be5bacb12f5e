"""The catalogue in the admin: sync, marked changes, and long lists."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from avatars import tasks
from avatars.catalogue import sync, sync_runs
from avatars.models import Avatar, CatalogueSync, News, ProviderAccount, Voice
from heygen_portal.providers.contract.provider import CatalogueVoice, ProviderUnreachable
from tests.support.factories import (
    AvatarFactory,
    EndUserFactory,
    KnowledgeBaseFactory,
    ProviderAccountFactory,
    VoiceFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)

ENGLISH = {"accept-language": "en"}
Step = CatalogueSync.Step


@pytest.fixture
def account() -> ProviderAccount:
    return ProviderAccountFactory.create(name="HeyGen")


def run_sync(account: ProviderAccount) -> sync.SyncResult:
    account.refresh_from_db()
    return async_to_sync(sync.sync_catalogue)(account)


def page_of(account: ProviderAccount) -> str:
    return f"/admin/avatars/provideraccount/{account.pk}/catalogue/"


def test_new_changed_and_gone_entries_are_marked_for_some_days(account: ProviderAccount, provider: Mock) -> None:
    (clara,) = provider.list_voices.return_value
    run_sync(account)
    assert Voice.objects.get().news is None  # what was there from the beginning is no news
    nora = CatalogueVoice("V2", "Nora", "en", "female", "", has_emotions=False)
    provider.list_voices.return_value = [replace(clara, name="Clara, warm"), nora]
    assert run_sync(account).voices == sync.Changes(listed=2, new=1, changed=1)
    assert {voice.name: voice.news for voice in Voice.objects.all()} == {"Clara, warm": News.CHANGED, "Nora": News.NEW}
    provider.list_voices.return_value = [nora]
    assert run_sync(account).voices == sync.Changes(listed=1, gone=1)
    assert Voice.objects.get(name="Clara, warm").news == News.GONE
    Voice.objects.update(appeared_at=timezone.now() - timedelta(days=8))
    assert Voice.objects.get(name="Nora").news is None


@pytest.mark.parametrize(("news", "names"), [("new", ["Nora"]), ("changed", ["Clara"]), ("gone", ["Hugo"])])
def test_the_list_filters_by_news(admin_client: Client, news: str, names: list[str]) -> None:
    now = timezone.now()
    VoiceFactory.create(name="Inés")
    VoiceFactory.create(name="Nora", appeared_at=now, changed_at=now)
    VoiceFactory.create(name="Clara", changed_at=now)
    VoiceFactory.create(name="Hugo", gone_at=now, changed_at=now)
    page = admin_client.get("/admin/avatars/voice/", {"news": news})
    assert [voice.name for voice in page.context["cl"].result_list] == names
    assert all(voice.news == news for voice in page.context["cl"].result_list)


def test_a_requested_sync_shows_its_progress(
    admin_client: Client, account: ProviderAccount, provider: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    delay = Mock()
    monkeypatch.setattr(sync_runs.sync_account, "delay", delay)
    page = admin_client.post(page_of(account), follow=True, headers=ENGLISH).content.decode()
    assert "the worker is syncing the catalogue" in page
    assert "<progress" in page
    assert (
        "is already being synced" in admin_client.post(page_of(account), follow=True, headers=ENGLISH).content.decode()
    )
    ((sync_id,),) = (call.args for call in delay.call_args_list)
    progress: list[dict[str, Any]] = []

    async def download(url: str) -> bytes:
        raise ProviderUnreachable("cut")

    provider.download = AsyncMock(side_effect=download)
    progress.append(admin_client.get(page_of(account), {"progress": ""}).json())
    sync_runs.sync_account(sync_id)
    sync_runs.sync_account(sync_id)  # the order came twice
    progress.append(admin_client.get(page_of(account), {"progress": ""}).json())
    assert [one["is_under_way"] for one in progress] == [True, False]
    provider.list_avatars.assert_awaited_once()
    assert "1 preview could not be fetched" in admin_client.get(page_of(account), headers=ENGLISH).content.decode()


def test_a_lost_sync_does_not_block_a_new_one(account: ProviderAccount, provider: Mock) -> None:
    lost, _is_new = sync_runs.begin(account)
    assert sync_runs.begin(account) == (lost, False)
    account.syncs.update(moved_at=timezone.now() - timedelta(minutes=5))
    fresh, is_new = sync_runs.begin(account)
    lost.refresh_from_db()
    assert (lost.step, is_new, fresh.step) == (Step.LOST, True, Step.WAITING)


def test_every_catalogue_is_synced_nightly(provider: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    ProviderAccountFactory.create_batch(2)
    monkeypatch.setattr(sync_runs.sync_account, "delay", sync_runs.sync_account)
    tasks.sync_catalogues()
    assert list(CatalogueSync.objects.values_list("step", flat=True)) == [Step.DONE, Step.DONE]


@pytest.mark.parametrize("model", ["avatar", "voice", "knowledgebase"])
def test_catalogue_lists_need_a_fixed_number_of_queries(
    admin_client: Client, account: ProviderAccount, model: str
) -> None:
    factory: Any = {"avatar": AvatarFactory, "voice": VoiceFactory, "knowledgebase": KnowledgeBaseFactory}[model]

    def queries(**search: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            assert admin_client.get(f"/admin/avatars/{model}/", search).status_code == 200
        return len(asked)

    factory.create(account=account)
    few = queries(), queries(q="l")
    row = factory._meta.model.objects.get()
    key = f"provider_{'knowledge_base' if model == 'knowledgebase' else model}_id"
    copies = [{**_values(row), key: f"copy-{number}"} for number in range(150)]  # more than a page
    factory._meta.model.objects.bulk_create(factory._meta.model(**copy) for copy in copies)
    assert (queries(), queries(q="l")) == few


def _values(row: Any) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if not field.primary_key}


def test_a_sync_needs_a_fixed_number_of_queries(account: ProviderAccount, provider: Mock) -> None:
    def queries(count: int) -> int:
        provider.list_voices.return_value = [
            CatalogueVoice(f"V{number}", "Voice", "es", "", "", has_emotions=False) for number in range(count)
        ]
        with CaptureQueriesContext(connection) as asked:
            run_sync(account)
        return len(asked)

    run_sync(account)
    assert queries(400) == queries(4)


def test_staff_can_play_a_voice_sample(admin_client: Client, account: ProviderAccount, provider: Mock) -> None:
    """Complaint 15."""
    cache.clear()
    voice = VoiceFactory.create(account=account, preview_url="https://cdn.test/v1.wav")
    address = f"/voices/{voice.pk}/sample/"
    assert f'src="{address}"' in admin_client.get("/admin/avatars/voice/").content.decode()
    for _ in range(2):
        answer = admin_client.get(address)
        assert (answer.status_code, answer["Content-Type"]) == (200, "audio/wav")
    provider.voice_sample.assert_awaited_once_with(voice.provider_voice_id, "https://cdn.test/v1.wav")


@pytest.mark.parametrize("given", [b"<html><script>", ProviderUnreachable("cut")])
def test_an_invalid_voice_sample_is_not_served(
    admin_client: Client, account: ProviderAccount, provider: Mock, given: bytes | Exception
) -> None:
    cache.clear()
    provider.voice_sample = AsyncMock(side_effect=[given])
    voice = VoiceFactory.create(account=account, preview_url="https://cdn.test/v1.wav")
    assert admin_client.get(f"/voices/{voice.pk}/sample/").status_code == 404


def test_a_voice_sample_needs_permission(client: Client, account: ProviderAccount, provider: Mock) -> None:
    voice = VoiceFactory.create(account=account, preview_url="https://cdn.test/v1.wav")
    client.force_login(EndUserFactory.create())
    assert client.get(f"/voices/{voice.pk}/sample/").status_code == 404


def test_avatars_are_filtered_by_origin(admin_client: Client, account: ProviderAccount, provider: Mock) -> None:
    (offer,) = provider.list_avatars.return_value
    photo = replace(offer, provider_avatar_id="A2", name="Amara", is_image=True, is_own=True, preview_url="")
    provider.list_avatars.return_value = [offer, photo]
    run_sync(account)
    page = admin_client.get("/admin/avatars/avatar/", {"is_image__exact": "1", "is_own__exact": "1"})
    assert list(page.context["cl"].result_list) == [Avatar.objects.get(name="Amara")]
