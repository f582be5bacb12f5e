"""The same cases against the emulator and, with --live, against the real service: both must please the client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from heygen_portal.providers.base import (
    CredentialRefused,
    Delivered,
    NotReady,
    ProviderRejected,
    ProviderSession,
    Quality,
    SessionGone,
    SessionRequest,
    TaskKind,
)
from heygen_portal.providers.heygen import HeyGen
from tests.servers import Emulator


@pytest.fixture
def address(request: pytest.FixtureRequest, service: str) -> tuple[str, str]:
    """Where the service is, and the key it takes."""
    if service == "live":
        return "https://api.heygen.com", os.environ["HEYGEN_API_KEY"]
    emulator: Emulator = request.getfixturevalue("quiet_emulator")
    return emulator.url, emulator.api_key


@pytest.fixture
async def heygen(address: tuple[str, str]) -> AsyncIterator[HeyGen]:
    client = HeyGen(*address)
    yield client
    await client.aclose()


@asynccontextmanager
async def opened(heygen: HeyGen) -> AsyncIterator[ProviderSession]:
    """A session with the first avatar that is active, stopped whatever happens."""
    avatar = next(avatar for avatar in await heygen.list_avatars() if avatar.is_active)
    wanted = SessionRequest(
        avatar_id=avatar.provider_avatar_id,
        voice_rate=1.0,
        language="es",
        quality=Quality.LOW,
        idle_timeout=timedelta(seconds=60),
    )
    session = await heygen.new_session(wanted)
    try:
        yield session
    finally:
        with suppress(SessionGone):
            await heygen.stop_session(session.provider_session_id)


async def test_the_catalogue_has_what_a_persona_is_made_of(heygen: HeyGen) -> None:
    avatars, voices = await heygen.list_avatars(), await heygen.list_voices()
    assert any(avatar.is_active for avatar in avatars)
    assert {"es", "en"} <= {voice.language for voice in voices}
    assert isinstance(await heygen.list_knowledge_bases(), list)
    assert await heygen.download(next(avatar.preview_url for avatar in avatars if avatar.preview_url))


async def test_a_session_is_opened_listed_started_and_stopped(heygen: HeyGen) -> None:  # demands 9, 12, 22, 24, 31
    async with opened(heygen) as session:
        assert session.room
        assert session.duration_limit
        assert session.credential
        assert session.provider_session_id in {row.provider_session_id for row in await heygen.list_sessions()}
        await heygen.start_session(session)
        await heygen.keep_alive(session.provider_session_id)
        await heygen.stop_session(session.provider_session_id)
        assert session.provider_session_id not in {row.provider_session_id for row in await heygen.list_sessions()}


async def test_a_second_stop_is_harmless(heygen: HeyGen) -> None:  # demand 31
    async with opened(heygen) as session:
        await heygen.stop_session(session.provider_session_id)
        with suppress(SessionGone):
            await heygen.stop_session(session.provider_session_id)


async def test_a_task_before_the_start_is_too_early(heygen: HeyGen) -> None:
    async with opened(heygen) as session:
        with pytest.raises(NotReady):
            await heygen.send_task(session.provider_session_id, text="Hola", kind=TaskKind.REPEAT)


async def test_what_was_stopped_takes_no_task(heygen: HeyGen) -> None:
    async with opened(heygen) as session:
        await heygen.stop_session(session.provider_session_id)
        with pytest.raises(SessionGone):
            await heygen.send_task(session.provider_session_id, text="Hola", kind=TaskKind.REPEAT)


async def test_a_session_that_never_was_is_gone(heygen: HeyGen) -> None:
    with pytest.raises(SessionGone):
        await heygen.keep_alive("00000000-0000-1000-8000-000000000000")


async def test_an_unknown_avatar_is_refused_in_words(heygen: HeyGen) -> None:  # demand 14
    with pytest.raises(ProviderRejected, match=r"(?i)avatar"):
        await heygen.new_session(SessionRequest(avatar_id="no-such-avatar"))


async def test_a_wrong_key_is_told_apart(address: tuple[str, str]) -> None:
    heygen = HeyGen(address[0], "sk-wrong")
    with pytest.raises(CredentialRefused):
        await heygen.list_avatars()
    with pytest.raises(CredentialRefused):
        await heygen.new_session(SessionRequest(avatar_id="A1"))
    await heygen.aclose()


async def test_the_key_may_be_a_bearer(address: tuple[str, str]) -> None:  # demand 10
    heygen = HeyGen(*address, is_bearer=True)
    async with opened(heygen) as session:
        await heygen.start_session(session)
    await heygen.aclose()


async def test_both_kinds_of_task_are_taken_once_the_avatar_is_there(quiet_emulator: Emulator) -> None:
    """Without media, the emulator's avatar is there as soon as the session has been started."""
    heygen = HeyGen(quiet_emulator.url, quiet_emulator.api_key)
    async with opened(heygen) as session:
        await heygen.start_session(session)
        for kind in TaskKind:
            delivery = await heygen.send_task(session.provider_session_id, text="Hola ¿cómo estás?", kind=kind)
            assert isinstance(delivery, Delivered)
            assert delivery.provider_task_id
        await heygen.interrupt(session.provider_session_id)
    await heygen.aclose()
