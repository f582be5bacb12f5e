"""While staff observe, the user's page says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client, override_settings

from heygen_portal.livekit import Webhook
from sessions.actions import provider_status
from sessions.lifecycle import events
from sessions.lifecycle.events import Entry
from sessions.models import Status, StreamingSession
from sessions.presence import observers
from sessions.presence import own_rooms as rooms
from sessions.web import livekit_events
from tests.sessions.tabs import a_person, browser
from tests.support.factories import PersonaFactory, StreamingSessionFactory

pytestmark = pytest.mark.django_db(transaction=True)

ROOM = "portal-room"
KEYS = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "a secret of at least thirty-two letters"}


@pytest.fixture(autouse=True)
def own_rooms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(provider_status, "end_if_gone", AsyncMock())
    with override_settings(LIVEKIT_URL="ws://rooms.test", LIVEKIT_PUBLIC_URL="ws://rooms.test", **KEYS):
        yield


@pytest.fixture
def session() -> StreamingSession:
    made: StreamingSession = StreamingSessionFactory.create(status=Status.LIVE, room=ROOM)
    return made


def admit_observer(session: StreamingSession) -> str:
    """Issue a seat; return the identity that LiveKit will use for the observer."""
    operator, _ = User.objects.get_or_create(username="the-operator", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    rooms.admit_observer(session.pk, operator.pk, "127.0.0.1", login_key=client.session.session_key or "")
    seat: str = session.events.filter(kind="observed").latest("number").data["seat"]
    return f"observer-{seat}"


def take_livekit_event(kind: str, identity: str, visit: str = "PA_1") -> None:
    webhook = Webhook(str(uuid4()), kind, ROOM, identity, visit, "", datetime.now(UTC))
    asyncio.run(livekit_events.handle(webhook))


def is_observed(session: StreamingSession, after: timedelta = timedelta(0)) -> bool:
    return observers.state(session.pk, datetime.now(UTC) + after).is_observed


LATER = timedelta(hours=3)


def test_a_session_counts_as_observed_from_issuing_the_seat_until_the_observer_leaves(
    session: StreamingSession,
) -> None:
    assert not is_observed(session)
    who = admit_observer(session)
    assert is_observed(session)
    take_livekit_event("participant_joined", who)
    assert is_observed(session, after=LATER)
    take_livekit_event("participant_left", who)
    assert not is_observed(session)


def test_an_unused_seat_stops_counting_when_its_token_expires(session: StreamingSession) -> None:
    admit_observer(session)
    assert is_observed(session, after=timedelta(seconds=50))
    assert not is_observed(session, after=timedelta(seconds=70))


def test_a_session_stays_observed_while_one_of_two_observers_remains(session: StreamingSession) -> None:
    first, second = admit_observer(session), admit_observer(session)
    take_livekit_event("participant_joined", first, "PA_1")
    take_livekit_event("participant_joined", second, "PA_2")
    take_livekit_event("participant_left", first, "PA_1")
    assert is_observed(session, after=LATER)
    take_livekit_event("participant_left", second, "PA_2")
    assert not is_observed(session)


def test_an_observer_who_rejoins_with_the_same_seat_counts_again(session: StreamingSession) -> None:
    who = admit_observer(session)
    for visit in ("PA_1", "PA_2"):
        take_livekit_event("participant_joined", who, visit)
        assert is_observed(session, after=LATER)
        take_livekit_event("participant_left", who, visit)
        assert not is_observed(session)


def test_webhooks_in_the_wrong_order_leave_no_observer_behind(session: StreamingSession) -> None:
    who = admit_observer(session)
    take_livekit_event("participant_left", who)
    take_livekit_event("participant_joined", who)
    assert not is_observed(session)


@pytest.mark.parametrize("who", ["person", "heygen", "somebody-else"])
def test_other_participants_do_not_count_as_observers(session: StreamingSession, who: str) -> None:
    take_livekit_event("participant_joined", who)
    assert not is_observed(session)


def test_a_finished_room_has_no_observers(session: StreamingSession) -> None:
    take_livekit_event("participant_joined", admit_observer(session))
    take_livekit_event("room_finished", "", "")
    assert not is_observed(session)


def test_an_observation_from_before_seats_were_recorded_counts_until_its_token_expires(
    session: StreamingSession,
) -> None:
    events.record(session.pk, Entry("observed", {"by": 1, "from": None}))
    assert is_observed(session)
    assert not is_observed(session, after=timedelta(minutes=11))


async def test_the_page_is_informed_of_the_start_and_end_of_observation_and_when_it_rejoins() -> None:
    person = await a_person()

    @sync_to_async
    def talking() -> StreamingSession:
        persona = PersonaFactory.create(published=True, slug="lucia", avatar__account__rooms="own")
        made: StreamingSession = StreamingSessionFactory.create(
            user=person, persona=persona, status=Status.LIVE, room=ROOM
        )
        return made

    session = await talking()
    async with browser(person, "lucia") as tab:
        await tab.say("session.join", session_id=str(session.pk))
        await tab.hear("session.observed", is_observed=False)
        who = await sync_to_async(admit_observer)(session)
        assert (await tab.hear("session.observed", is_observed=True))["until"]
        await livekit_events.handle(Webhook("1", "participant_joined", ROOM, who, "PA_1", "", datetime.now(UTC)))
        await tab.hear("session.observed", is_observed=True, until="")
        async with browser(person, "lucia") as reloaded:
            await reloaded.say("session.join", session_id=str(session.pk))
            await reloaded.hear("session.observed", is_observed=True)
        await livekit_events.handle(Webhook("2", "participant_left", ROOM, who, "PA_1", "", datetime.now(UTC)))
        await tab.hear("session.observed", is_observed=False)
