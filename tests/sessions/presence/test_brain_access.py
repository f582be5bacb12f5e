"""What lets a provider call the brain is made for one session, and removed after it whatever fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from avatars.models import ProviderAccount
from heygen_portal.providers.contract.provider import ProviderError
from sessions.models import BrainAccess, EndReason, Status, StreamingSession
from sessions.presence import brain_access
from tests.emulator.liveavatar_wire import LiveAvatarWire
from tests.support import servers
from tests.support.factories import (
    AvatarFactory,
    PersonaFactory,
    ProviderAccountFactory,
    StreamingSessionFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)

URL = "https://portal.example.com"


@pytest.fixture
def wire(fresh_emulator: servers.Emulator) -> Iterator[LiveAvatarWire]:
    with LiveAvatarWire(fresh_emulator.url, fresh_emulator.api_key) as wire:
        yield wire


@pytest.fixture(autouse=True)
def portal_url(settings: Any) -> None:
    settings.PORTAL_URL = URL


@pytest.fixture
def account(wire: LiveAvatarWire) -> ProviderAccount:
    return ProviderAccountFactory.create(kind="liveavatar", base_url=wire.url, api_key=wire.api_key)


def a_session(account: ProviderAccount) -> StreamingSession:
    persona = PersonaFactory.create(published=True, brain="own", avatar=AvatarFactory.create(account=account))
    return StreamingSessionFactory.create(persona=persona, version=persona.current)


def stored(wire: LiveAvatarWire) -> tuple[int, int]:
    return len(wire.got("/v1/secrets")), len(wire.got("/v1/llm-configurations"))


async def in_an_hour() -> None:
    await brain_access.remove_due(timezone.now() + timedelta(hours=1))


@pytest.fixture
def session(account: ProviderAccount) -> StreamingSession:
    return a_session(account)


async def test_a_prepared_access_is_taken_once_and_removed_after_the_session(
    wire: LiveAvatarWire, account: ProviderAccount, session: StreamingSession
) -> None:
    await brain_access.prepare(account)
    [prepared] = [row["id"] for row in wire.got("/v1/llm-configurations")]
    assert await brain_access.assign(session) == prepared
    other = await sync_to_async(a_session)(account)
    assert await brain_access.assign(other) != prepared
    await in_an_hour()
    assert stored(wire) == (2, 2)
    ended = {"status": Status.ENDED, "end_reason": EndReason.USER_STOPPED, "end_evidence": {"seen": "x"}}
    await StreamingSession.objects.filter(pk=session.pk).aupdate(**ended, ended_at=timezone.now(), deadline_at=None)
    await brain_access.remove_due(timezone.now())
    assert stored(wire) == (1, 1)
    assert await BrainAccess.objects.acount() == 1


async def test_one_that_is_not_used_is_removed_in_time(wire: LiveAvatarWire, account: ProviderAccount) -> None:
    await brain_access.prepare(account)
    await brain_access.remove_due(timezone.now())
    assert stored(wire) == (1, 1)
    await in_an_hour()
    assert stored(wire) == (0, 0)
    assert await BrainAccess.objects.acount() == 0


async def test_few_are_prepared(account: ProviderAccount) -> None:
    for _ in range(7):
        await brain_access.prepare(account)
    assert await BrainAccess.objects.acount() == 5


@pytest.mark.parametrize("path", ["/v1/secrets", "/v1/llm-configurations"])
async def test_what_an_unanswered_call_may_have_left_is_removed(
    wire: LiveAvatarWire, session: StreamingSession, path: str
) -> None:
    wire.fault("cut", on=path.removeprefix("/v1/"))
    with pytest.raises(ProviderError):
        await brain_access.assign(session)
    assert sum(stored(wire)) > 0
    await brain_access.remove_due(timezone.now())
    assert stored(wire) == (0, 0)


async def test_a_provider_that_refuses_the_removal_is_asked_again(
    wire: LiveAvatarWire, account: ProviderAccount
) -> None:
    await brain_access.prepare(account)
    wire.fault("answer", on="llm-configurations", status=500)
    await in_an_hour()
    assert stored(wire) == (1, 1)
    await brain_access.remove_due(timezone.now() + timedelta(hours=2))
    assert stored(wire) == (0, 0)


async def test_a_failed_preparation_delays_nothing(wire: LiveAvatarWire, account: ProviderAccount) -> None:
    wire.fault("answer", on="secrets", status=500)
    await brain_access.prepare(account)
    assert stored(wire) == (0, 0)


async def test_the_token_is_not_stored(wire: LiveAvatarWire, account: ProviderAccount) -> None:
    await brain_access.prepare(account)
    row = await BrainAccess.objects.aget()
    assert len(row.token_hash) == 64
    [listed] = wire.got("/v1/secrets")
    assert listed["secret_name"] == row.name
    [configuration] = wire.got("/v1/llm-configurations")
    whole = wire.got(f"/v1/llm-configurations/{configuration['id']}")
    assert (whole["base_url"], whole["model_name"]) == (f"{URL}/brain/v1", "brain")
