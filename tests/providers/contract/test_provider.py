"""Contract tests of every provider.

They run against the emulator and, with --live, the real service.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from heygen_portal.providers import KINDS
from heygen_portal.providers.contract.provider import (
    CatalogueKnowledgeBase,
    CredentialRefused,
    Delivered,
    NotReady,
    Provider,
    ProviderRejected,
    ProviderSession,
    Quality,
    RoomCommand,
    SessionGone,
    SessionRequest,
    TaskKind,
)
from heygen_portal.providers.contract.videos import VideoRequest, VideoState
from tests.emulator.wire import TLS
from tests.support import servers
from tests.support.servers import Emulator

UNKNOWN_ID = "5f3c0f9e-0000-41ef-8000-000000000000"


@dataclass
class Account:
    """Connection settings.

    On a live service, sandbox sessions are used if there are any.
    """

    kind: str
    base_url: str
    api_key: str
    key_header: str = "x-api-key"
    is_sandbox: bool = False


def account_for(kind: str, service: str, request: pytest.FixtureRequest) -> Account:
    if service == "live":
        has_sandbox = KINDS[kind].capabilities.sandbox_limit is not None
        key = os.environ.get(f"{kind.upper()}_API_KEY") or pytest.skip(f"{kind.upper()}_API_KEY is not set")
        return Account(kind, KINDS[kind].address, key, is_sandbox=has_sandbox)
    emulator: Emulator = request.getfixturevalue("quiet_emulator")
    return Account(kind, emulator.url, emulator.api_key)


@pytest.fixture(params=list(KINDS))
def account(request: pytest.FixtureRequest, service: str) -> Account:
    return account_for(request.param, service, request)


@asynccontextmanager
async def connected(account: Account) -> AsyncIterator[Provider]:
    provider = KINDS[account.kind].connect(account)
    try:
        yield provider
    finally:
        await provider.aclose()


@pytest.fixture
async def provider(account: Account) -> AsyncIterator[Provider]:
    async with connected(account) as provider:
        yield provider


@asynccontextmanager
async def opened(provider: Provider, **options: Any) -> AsyncIterator[ProviderSession]:
    """Open a session with the first avatar that has a voice, and stop it at the end."""
    avatar = next(avatar for avatar in await provider.list_avatars() if avatar.is_active and avatar.default_voice_id)
    defaults: dict[str, Any] = {
        "language": "es",
        "quality": Quality.LOW,
        "idle_timeout": timedelta(seconds=60),
        "duration_limit": timedelta(seconds=60),
    }
    session = await provider.new_session(SessionRequest(avatar.provider_avatar_id, **(defaults | options)))
    try:
        yield session
    finally:
        with suppress(SessionGone):
            await provider.stop_session(session.provider_session_id)


async def listed_ids(provider: Provider) -> set[str]:
    return {row.provider_session_id for row in await provider.list_sessions()}


async def test_the_catalogue_lists_avatars_voices_and_knowledge_bases(provider: Provider) -> None:
    avatars, voices = await provider.list_avatars(), await provider.list_voices()
    assert any(avatar.is_active for avatar in avatars)
    assert {"es", "en"} <= {voice.language for voice in voices}
    languages = await provider.list_languages()
    assert not languages or {"es", "en"} <= set(languages)
    assert isinstance(await provider.list_knowledge_bases(), list)
    assert await provider.download(next(avatar.preview_url for avatar in avatars if avatar.preview_url))


async def test_every_voice_has_a_sample(provider: Provider) -> None:
    voice = (await provider.list_voices())[0]
    assert voice.preview_url or provider.capabilities.has_voice_samples
    assert len(await provider.voice_sample(voice.provider_voice_id, voice.preview_url)) > 1000


async def test_a_session_is_created_started_listed_and_stopped(provider: Provider) -> None:
    """Requirements 9, 12, 22, 24, 28 and 31.

    Room and limit are known once the session has started.
    """
    async with opened(provider) as session:
        assert session.credential
        started = await provider.start_session(session)
        assert started.provider_session_id == session.provider_session_id
        assert started.room
        assert started.room.url.startswith(("ws://", "wss://"))
        assert started.duration_limit
        assert session.provider_session_id in await listed_ids(provider)
        await provider.keep_alive(session.provider_session_id)
        await provider.stop_session(session.provider_session_id)
        assert session.provider_session_id not in await listed_ids(provider)


async def test_a_second_stop_is_harmless(provider: Provider) -> None:
    """Requirement 31."""
    async with opened(provider) as session:
        await provider.start_session(session)
        for _ in range(2):
            with suppress(SessionGone):
                await provider.stop_session(session.provider_session_id)


async def test_a_stopped_session_is_gone(provider: Provider) -> None:
    async with opened(provider) as session:
        await provider.start_session(session)
        await provider.stop_session(session.provider_session_id)
        with pytest.raises(SessionGone):
            await provider.keep_alive(session.provider_session_id)


async def test_an_unknown_session_is_gone(provider: Provider) -> None:
    for call in (provider.keep_alive, provider.stop_session):
        with pytest.raises(SessionGone):
            await call(UNKNOWN_ID)


async def test_an_unknown_avatar_is_refused_with_a_message(provider: Provider) -> None:
    """Requirement 14.

    Some providers check the avatar in `new_session`, others in `start_session`.
    """
    with pytest.raises(ProviderRejected, match=r"(?i)avatar"):
        await provider.start_session(await provider.new_session(SessionRequest(avatar_id=UNKNOWN_ID)))


async def test_a_wrong_key_raises_credential_refused(account: Account) -> None:
    wrong = Account(account.kind, account.base_url, "sk-wrong")
    async with connected(wrong) as provider:
        with pytest.raises(CredentialRefused):
            await provider.list_voices()
        with pytest.raises(CredentialRefused):
            await provider.new_session(SessionRequest(avatar_id=UNKNOWN_ID))


async def test_the_key_can_be_sent_in_every_supported_header(account: Account) -> None:
    """Requirement 10."""
    for header in KINDS[account.kind].capabilities.key_headers:
        sent_so = Account(account.kind, account.base_url, account.api_key, header, is_sandbox=account.is_sandbox)
        async with connected(sent_so) as provider, opened(provider) as session:
            await provider.start_session(session)


async def test_every_kind_of_task_is_delivered_or_becomes_a_room_command(provider: Provider, account: Account) -> None:
    """Requirements 3 and 29.

    Without media, the emulator's avatar is present as soon as the session has started.
    """
    if account.base_url == KINDS[account.kind].address:
        pytest.skip("nobody has joined the room")
    goes_by_room = provider.capabilities.commands_in_room
    async with opened(provider) as session:
        await provider.start_session(session)
        for kind in TaskKind:
            sent = await provider.send_task(session.provider_session_id, text="Hola ¿cómo estás?", kind=kind)
            assert isinstance(sent, RoomCommand if goes_by_room else Delivered)
            assert sent.provider_task_id
        interrupted = await provider.interrupt(session.provider_session_id)
        assert isinstance(interrupted, RoomCommand if goes_by_room else Delivered)


async def test_a_task_before_start_raises_not_ready(provider: Provider) -> None:
    if provider.capabilities.commands_in_room:
        pytest.skip("the browser publishes it, once it is in the room")
    async with opened(provider) as session:
        with pytest.raises(NotReady):
            await provider.send_task(session.provider_session_id, text="Hola", kind=TaskKind.REPEAT)


async def test_push_to_talk_has_distinct_start_and_stop_packets(provider: Provider) -> None:
    button = provider.capabilities.push_to_talk
    assert button
    assert button.start != button.stop
    assert provider.capabilities.takes_voice
    assert provider.capabilities.hands_free


async def test_the_remaining_credits_can_be_read(provider: Provider) -> None:
    left = await provider.credits()
    assert left is not None
    assert left >= 0


async def test_a_knowledge_base_is_created_used_changed_and_deleted(provider: Provider, service: str) -> None:
    """Requirement 20."""
    if service == "live":
        pytest.skip("it would stay there")
    made = await provider.create_knowledge_base(name="Horario", opening="Hola", prompt="Abrimos a las nueve.")
    (found,) = [base for base in await provider.list_knowledge_bases() if base.provider_knowledge_base_id == made]
    assert (found.name, found.opening, found.prompt) == ("Horario", "Hola", "Abrimos a las nueve.")
    async with opened(provider, knowledge_base_id=made) as session:
        await provider.start_session(session)
    await provider.change_knowledge_base(CatalogueKnowledgeBase(made, "Horario", "", "Abrimos a las diez."))
    (found,) = [base for base in await provider.list_knowledge_bases() if base.provider_knowledge_base_id == made]
    assert (found.opening, found.prompt) == ("", "Abrimos a las diez.")
    await provider.delete_knowledge_base(made)
    assert made not in {base.provider_knowledge_base_id for base in await provider.list_knowledge_bases()}
    with pytest.raises(ProviderRejected):
        await provider.delete_knowledge_base(made)


async def test_past_sessions_are_listed_in_pages_newest_first(
    account: Account, provider: Provider, service: str
) -> None:
    if service == "live":
        pytest.skip("a dozen sessions cost too much")
    ended = []
    for _ in range(12):
        async with opened(provider) as session:
            await provider.start_session(session)
            ended.append(session.provider_session_id)
    found: list[str] = []
    page = 0
    while not set(ended) <= set(found):
        page += 1
        past = await provider.past_sessions(page)
        assert past.rows
        assert all(row.created_at for row in past.rows)
        found += [row.provider_session_id for row in past.rows]
    assert found[:12] == ended[::-1]
    assert not (await provider.past_sessions(1000)).rows


async def test_a_session_record_can_be_read_and_its_transcript_deleted(
    provider: Provider,
) -> None:
    async with opened(provider) as session:
        await provider.start_session(session)
        await provider.stop_session(session.provider_session_id)
        record = await provider.read_record(session.provider_session_id)
        assert bool(record.end_reason) == provider.capabilities.has_session_records
        if not provider.capabilities.can_delete_transcripts:
            return
        for _ in range(2):  # safe to repeat
            await provider.forget(session.provider_session_id)
        kept = await provider.read_record(session.provider_session_id)
        assert (kept.lines, kept.end_reason) == ((), record.end_reason)
        with pytest.raises(SessionGone):
            await provider.forget(UNKNOWN_ID)


@pytest.mark.parametrize("kind", list(KINDS))
async def test_a_cut_connection_leaves_only_listed_sessions(kind: str) -> None:
    with servers.emulator(media=False, args=["--control"]) as emulator:
        account = Account(kind, emulator.url, emulator.api_key)
        fault = {"kind": "cut", "on": "start", "when": "after"}
        async with connected(account) as provider, httpx.AsyncClient(base_url=emulator.url, verify=TLS) as control:
            await control.post("/_emulator/faults", json=fault)
            async with opened(provider) as session:
                with pytest.raises(Exception, match=r"start"):
                    await provider.start_session(session)
                assert session.provider_session_id in await listed_ids(provider)
            assert not await listed_ids(provider)


@pytest.mark.parametrize("kind", list(KINDS))
async def test_sessions_end_at_the_providers_own_limits(kind: str) -> None:
    """Requirement 23: the provider's limits apply in addition to the portal's."""
    with servers.emulator(media=False, args=["--control"]) as emulator:
        account = Account(kind, emulator.url, emulator.api_key)
        async with (
            connected(account) as provider,
            httpx.AsyncClient(base_url=emulator.url, verify=TLS) as control,
            opened(provider) as session,
        ):
            await provider.start_session(session)
            await control.post("/_emulator/clock", json={"move": 3700})  # responds after the due sessions have ended
            assert session.provider_session_id not in await listed_ids(provider)
            with pytest.raises(SessionGone):
                await provider.keep_alive(session.provider_session_id)


async def test_a_video_is_ordered_found_by_reference_and_saved(provider: Provider, service: str) -> None:
    """Requirement 74: an order whose response was lost can be found again."""
    if not provider.capabilities.makes_videos:
        pytest.skip("it makes no recorded videos")
    if service == "live":
        pytest.skip("each costs credits")
    avatar = next(avatar for avatar in await provider.list_avatars() if avatar.is_active and avatar.default_voice_id)
    reference = f"contract-{uuid4().hex}-1"
    order = VideoRequest(avatar.provider_avatar_id, avatar.default_voice_id, "Hola.", "Contract", reference)
    assert await provider.find_video(reference) == ""
    made = await provider.make_video(order)
    assert await provider.find_video(reference) == made
    status = await provider.video_status(made)
    while status.state is VideoState.MAKING:
        await asyncio.sleep(0.2)
        status = await provider.video_status(made)
    assert status.state is VideoState.READY
    assert status.duration
    file = io.BytesIO()
    await provider.save_video(status.url, file)
    assert file.getvalue()[4:8] == b"ftyp"
    with pytest.raises(ProviderRejected):
        await provider.video_status(UNKNOWN_ID)
    with pytest.raises(ProviderRejected, match="refused"):
        await provider.make_video(replace(order, avatar_id="nobody_at_all"))


QUALITIES, RATES, LANGUAGES = tuple(Quality), ("slowest", "usual", "fastest"), ("es", "en")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("quality", QUALITIES)
async def test_every_quality_rate_and_language_is_sent_as_chosen(
    account: Account, provider: Provider, service: str, quality: Quality, rate: str, language: str
) -> None:
    """Requirements 15, 18, 21, 52, checked in the emulator's request log."""
    if service == "live":
        pytest.skip("eighteen sessions cost too much")
    slowest, fastest = provider.capabilities.voice_rate
    number = {"slowest": slowest, "usual": 1.0, "fastest": fastest}[rate]
    async with opened(provider, quality=quality, voice_rate=number, language=language) as session:
        await provider.start_session(session)
    body = await last_order(account)
    voice = body.get("avatar_persona") or body
    assert body.get("video_settings", body)["quality"] == quality.value
    assert voice["language"] == language
    rates = (body.get("voice") or {}).get("rate"), voice.get("voice_settings", {}).get("speed")
    assert number in rates or (number == 1.0 and rates == (None, None))


async def last_order(account: Account) -> dict[str, Any]:
    """Return the body of the latest session request in the emulator's log."""
    async with httpx.AsyncClient(base_url=account.base_url, verify=TLS) as control:
        log = (await control.get("/_emulator/requests")).json()["requests"]
    body: dict[str, Any] = next(
        entry["body"] for entry in reversed(log) if entry["path"].endswith(("streaming.new", "sessions/token"))
    )
    return body
