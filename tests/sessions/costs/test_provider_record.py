"""The provider's record completes our transcript without duplicates."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from unittest.mock import AsyncMock, Mock

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from avatars.catalogue import sync
from avatars.personas import starters
from heygen_portal import providers
from heygen_portal.providers.contract.provider import (
    ProviderRejected,
    ProviderSession,
    ProviderUnreachable,
    SessionRecord,
    Speaker,
    SpokenLine,
)
from sessions.actions import provision, stop
from sessions.costs import provider_record
from sessions.lifecycle import transitions
from sessions.models import EndReason, SessionEvent, Status, StreamingSession, Utterance
from tests.support import servers
from tests.support.factories import PersonaFactory, ProviderAccountFactory, StreamingSessionFactory, UserFactory

NOW = timezone.now()
USER, AVATAR = Speaker.USER, Speaker.AVATAR


@sync_to_async
def ended_session(**fields: object) -> StreamingSession:
    session: StreamingSession = StreamingSessionFactory.create(
        status=Status.ENDED, record_due_at=NOW, ended_at=NOW, **fields
    )
    Utterance.objects.create(session=session, who="user", by="text", text="¿Cuál es el horario?", source="portal")
    Utterance.objects.create(
        session=session, who="avatar", by="voice", text="De lunes a", is_interrupted=True, source="browser"
    )
    return session


RECORD = SessionRecord(
    end_reason="USER_CLOSED",
    duration=timedelta(seconds=61),
    credits=Decimal("2.03"),
    lines=(
        SpokenLine(AVATAR, "Hola.", NOW),
        SpokenLine(USER, "¿cuál es el horario?", NOW),
        SpokenLine(AVATAR, "De lunes a viernes.", NOW),
        SpokenLine(USER, "Gracias.", None),
    ),
)


@pytest.mark.django_db(transaction=True)
async def test_lines_that_no_browser_heard_are_added_once(provider: Mock) -> None:
    """Complaint 17: every line is stored, with its source."""
    session = await ended_session()
    provider.read_record = AsyncMock(return_value=RECORD)
    await provider_record.read_due(NOW)
    await provider_record.read_due(NOW + timedelta(hours=1))
    assert provider.read_record.call_count == 1
    await sync_to_async(provider_record.store)(session, RECORD)  # reading it again adds nothing
    added = [line async for line in Utterance.objects.filter(source="provider").order_by("pk")]
    lines = [("avatar", "Hola."), ("avatar", "De lunes a viernes."), ("user", "Gracias.")]
    assert [(line.who, line.text) for line in added] == lines  # the text that the portal sent is not duplicated
    reported = await Utterance.objects.aget(source="browser")
    noted = await SessionEvent.objects.filter(kind="provider_record").afirst()
    assert noted
    assert noted.source == "provider"
    proof = [line.fingerprint for line in added]
    expected = {
        "speech": proof,
        "end_reason": "USER_CLOSED",
        "seconds": 61.0,
        "credits": "2.03",
        "lines": 4,
        "added": 3,
        "confirmed": {str(reported.pk): [added[1].pk]},
    }
    assert {name: value for name, value in noted.data.items() if name != "rows"} == expected


@pytest.mark.django_db(transaction=True)
async def test_the_providers_transcript_completes_ours_after_the_end(quiet_emulator: servers.Emulator) -> None:
    """From start to record, against LiveAvatar's wire.

    No browser heard the opening line of the knowledge base.
    """
    where = {"kind": "liveavatar", "base_url": quiet_emulator.url, "api_key": quiet_emulator.api_key}
    account = await sync_to_async(ProviderAccountFactory.create)(**where)
    await sync.sync_catalogue(account)
    persona = await sync_to_async(starters.publish_starter)(account, starters.STARTERS[1] | {"greeting": ""})
    assert persona
    assert persona.knowledge_base
    person = await sync_to_async(UserFactory.create)()
    async with providers.closing_providers():
        session = await sync_to_async(transitions.request)(persona, person.pk)
        await provision.create_and_start(session, AsyncMock())
        await stop.stop(session, EndReason.TAB_CLOSED, {})
        await provider_record.read_due(timezone.now())
    (line,) = [line async for line in Utterance.objects.filter(session=session)]
    assert (line.who, line.text, line.source) == ("avatar", persona.knowledge_base.opening, "provider")
    record = await SessionEvent.objects.aget(session=session, kind="provider_record")
    assert (record.data["end_reason"], record.data["added"]) == ("USER_DISCONNECTED", 1)
    assert record.data["credits"]


@pytest.mark.django_db(transaction=True)
async def test_an_unreachable_provider_is_asked_again_and_a_refusal_is_final(provider: Mock) -> None:
    session = await ended_session()
    provider.read_record = AsyncMock(side_effect=ProviderUnreachable("ReadTimeout"))
    await provider_record.read_due(NOW)
    await provider_record.read_due(NOW)
    assert provider.read_record.call_count == 1
    await provider_record.read_due(NOW + provider_record.RETRY_INTERVAL)
    assert provider.read_record.call_count == 2
    provider.read_record.side_effect = ProviderRejected("no", status=404)
    await provider_record.read_due(NOW + 2 * provider_record.RETRY_INTERVAL)
    await session.arefresh_from_db()
    assert session.record_due_at is None
    assert await SessionEvent.objects.filter(kind="provider_record_missing").acount() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "is_read"), [("heygen", False), ("liveavatar", True)])
def test_only_providers_with_session_records_are_asked(kind: str, is_read: bool) -> None:
    persona = PersonaFactory.create(published=True, avatar__account__kind=kind)
    session = transitions.request(persona, UserFactory.create().pk)
    transitions.connect(session, ProviderSession("their-session", room=None))
    session.refresh_from_db()
    assert bool(session.record_due_at) == is_read


LINES = st.lists(
    st.builds(SpokenLine, st.sampled_from(Speaker), st.sampled_from(["a", "b", "a b", "b a c", "¡A!", "…"]))
)


@given(ours=LINES, theirs=LINES)
def test_a_second_reading_finds_no_missing_lines(ours: list[SpokenLine], theirs: list[SpokenLine]) -> None:
    known = [(line.who.value, line.text) for line in ours]
    missing = provider_record.missing_lines(known, theirs)
    assert provider_record.missing_lines([*known, *((line.who.value, line.text) for line in missing)], theirs) == []
    assert provider_record.missing_lines([(line.who.value, line.text) for line in theirs], theirs) == []
