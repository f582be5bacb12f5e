"""Erasure at the provider, requested until it confirms."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import AsyncMock, Mock

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.utils import timezone

from avatars.catalogue import sync
from avatars.personas import starters
from heygen_portal import providers
from heygen_portal.providers.contract.provider import CredentialRefused, ProviderUnreachable, SessionGone
from sessions.actions import provision, stop
from sessions.costs import provider_record
from sessions.integrity import verification
from sessions.lifecycle import transitions
from sessions.models import EndReason, Erasure, ProviderErasure, SessionEvent, Status, Utterance
from sessions.retention import erasure, provider_erasure
from tests.support import servers
from tests.support.factories import ProviderAccountFactory, StreamingSessionFactory, UserFactory

NOW = timezone.now()


def erased(kind: str = "liveavatar", **fields: object) -> Erasure:
    session = StreamingSessionFactory.create(
        status=Status.ENDED, persona__avatar__account__kind=kind, ended_at=NOW, **fields
    )
    session.utterances.create(who="user", by="text", text="Mi número es el 600 123 456", source="portal")
    receipt = erasure.erase(session.pk, Erasure.Cause.PERSON, session.user_id)
    assert receipt
    return receipt


@pytest.mark.django_db(transaction=True)
async def test_erased_speech_is_deleted_at_the_provider_and_confirmed_in_the_record(
    quiet_emulator: servers.Emulator,
) -> None:
    """From a conversation to an empty transcript, on LiveAvatar's wire."""
    where = {"kind": "liveavatar", "base_url": quiet_emulator.url, "api_key": quiet_emulator.api_key}
    account = await sync_to_async(ProviderAccountFactory.create)(**where)
    await sync.sync_catalogue(account)
    persona = await sync_to_async(starters.publish_starter)(account, starters.STARTERS[1] | {"greeting": ""})
    assert persona
    person = await sync_to_async(UserFactory.create)()
    async with providers.closing_providers():
        session = await sync_to_async(transitions.request)(persona, person.pk)
        await provision.create_and_start(session, AsyncMock())
        await stop.stop(session, EndReason.TAB_CLOSED, {})
        await provider_record.read_due(timezone.now())
        assert await Utterance.objects.filter(session=session).acount() == 1
        (receipt,) = await sync_to_async(erasure.erase_own)(person.pk, "192.0.2.18")
        assert receipt.at_provider == "asked"
        await provider_erasure.request_due(timezone.now())
    async with httpx.AsyncClient(base_url=quiet_emulator.url, headers={"x-api-key": quiet_emulator.api_key}) as http:
        answer = await http.get(f"/v1/sessions/{session.provider_session_id}/transcript")
        assert answer.json()["data"]["transcript_data"] == []
    carried = await ProviderErasure.objects.aget(erasure=receipt)
    assert carried.done_at
    assert carried.due_at is None
    last_event = await SessionEvent.objects.filter(session=session).order_by("number").alast()
    assert last_event
    assert (last_event.kind, last_event.source, last_event.data["erasure"]) == (
        "provider_erased",
        "provider",
        receipt.pk,
    )
    assert await sync_to_async(verification.first_fault_of)(session.pk) is None


@pytest.mark.django_db(transaction=True)
async def test_a_failing_provider_is_asked_again_at_growing_intervals_and_the_failure_is_shown(
    provider: Mock, admin_client: Client
) -> None:
    receipt = await sync_to_async(erased)()
    provider.forget = AsyncMock(
        side_effect=[ProviderUnreachable("ReadTimeout"), CredentialRefused("no", status=401), None]
    )
    page = f"/admin/avatar_sessions/erasure/{receipt.pk}/change/"

    async def shown() -> str:
        return (await sync_to_async(admin_client.get)(page, headers={"accept-language": "en"})).content.decode()

    assert "deletion is being requested from the provider" in await shown()
    await provider_erasure.request_due(timezone.now())
    assert "not deleted yet, 1 attempts, last error: ProviderUnreachable: ReadTimeout" in await shown()
    for wait in (timedelta(0), timedelta(seconds=61), timedelta(seconds=90), timedelta(seconds=185), timedelta(days=9)):
        await provider_erasure.request_due(timezone.now() + wait)
    assert provider.forget.call_count == 3
    assert "also deleted at the provider" in await shown()
    kinds = [event.kind async for event in SessionEvent.objects.order_by("number")]
    assert kinds == ["speech_erased", *["provider_erasure_failed"] * 2, "provider_erased"]


@pytest.mark.django_db(transaction=True)
async def test_a_session_unknown_to_the_provider_counts_as_deleted(provider: Mock) -> None:
    receipt = await sync_to_async(erased)()
    provider.forget = AsyncMock(side_effect=SessionGone("gone", status=404))
    await provider_erasure.request_due(timezone.now())
    assert (await ProviderErasure.objects.aget(erasure=receipt)).done_at


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "there", "at_provider"),
    [("heygen", "theirs", "nothing_kept"), ("liveavatar", "theirs", "asked"), ("liveavatar", None, "never_there")],
)
def test_only_providers_that_keep_and_can_delete_transcripts_are_asked(
    kind: str, there: str | None, at_provider: str
) -> None:
    receipt = erased(kind, provider_session_id=there)
    assert receipt.at_provider == at_provider
    assert ProviderErasure.objects.exists() == (at_provider == "asked")
