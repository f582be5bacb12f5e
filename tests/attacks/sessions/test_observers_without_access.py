"""Observers who lose access cannot continue to watch (real LiveKit server)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import aiohttp
import jwt
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.test import Client, override_settings
from livekit import api

from heygen_portal import livekit as ours
from heygen_portal.livekit import Webhook
from heygen_portal.people.access import roles
from sessions.models import SessionEvent, Status, StreamingSession
from sessions.presence import observers, own_rooms
from sessions.web import livekit_events
from tests.support import servers
from tests.support.factories import StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def own_server(livekit: servers.LiveKit) -> AsyncIterator[None]:
    with override_settings(**livekit.env(), LIVEKIT_PUBLIC_URL=livekit.url):
        yield
        await ours.close()


class Watching:
    """An operator, and the session that they observe."""

    def __init__(self) -> None:
        roles.sync()
        self.operator = User.objects.create_user("op", password="wj3-longer-than-most", is_staff=True)
        self.operator.groups.add(Group.objects.get(name=roles.OPERATOR.group))
        client = Client()
        client.force_login(self.operator, backend="django.contrib.auth.backends.ModelBackend")
        self.session: StreamingSession = StreamingSessionFactory.create(status=Status.LIVE, room=ours.new_room_name())
        key = client.session.session_key or ""
        self.token = own_rooms.admit_observer(self.session.pk, self.operator.pk, login_key=key).token
        claims = jwt.decode(self.token, options={"verify_signature": False})
        self.identity: str = claims["sub"]

    @asynccontextmanager
    async def inside(self) -> AsyncIterator[None]:
        """Join the room with the issued token, and pass the webhook on to the portal."""
        address = f"{django_settings.LIVEKIT_URL}/rtc"
        async with aiohttp.ClientSession() as http:
            params = {"access_token": self.token, "protocol": "15"}
            async with http.ws_connect(address, params=params) as socket:
                await socket.receive(timeout=WAIT_TIMEOUT_S)
                visit = f"PA_{uuid4()}"
                now = datetime.now(UTC)
                webhook = Webhook(str(uuid4()), "participant_joined", self.session.room, self.identity, visit, "", now)
                await livekit_events.handle(webhook)
                yield

    async def is_inside(self) -> bool:
        settings = django_settings
        keys = settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET
        async with api.LiveKitAPI(settings.LIVEKIT_URL, *keys) as client:
            listed = await client.room.list_participants(api.ListParticipantsRequest(room=self.session.room))
        return self.identity in {one.identity for one in listed.participants}

    def removals(self) -> list[str]:
        events = SessionEvent.objects.filter(session=self.session, kind=observers.REMOVED)
        return [event.data["loss"] for event in events]


@pytest.fixture
async def watching() -> Watching:
    made: Watching = await sync_to_async(Watching)()
    await ours.create_room(made.session.room)
    return made


def deactivate(operator: User) -> None:
    User.objects.filter(pk=operator.pk).update(is_active=False)


def demote(operator: User) -> None:
    operator.groups.clear()


def sign_out(operator: User) -> None:
    Session.objects.all().delete()


def change_password(operator: User) -> None:
    operator.set_password("kq7-longer-than-that")
    operator.save()


LOSSES = [
    (deactivate, "deactivated"),
    (demote, "role"),
    (sign_out, "signed_out"),
    (change_password, "signed_out"),
]


@pytest.mark.proof
@pytest.mark.parametrize(("lose_access", "loss"), LOSSES)
async def test_an_observer_who_loses_access_is_removed_and_recorded_once_and_cannot_return(
    watching: Watching, lose_access: Callable[[User], None], loss: str
) -> None:
    async with watching.inside():
        await observers.check_access()
        assert await watching.is_inside()
        assert await sync_to_async(watching.removals)() == []
        await sync_to_async(lose_access)(watching.operator)
        await observers.check_access()
        assert not await watching.is_inside()
    async with watching.inside():
        assert not await watching.is_inside()
    await observers.check_access()
    assert await sync_to_async(watching.removals)() == [loss]


async def test_an_observers_token_is_valid_for_a_minute(watching: Watching) -> None:
    claims = jwt.decode(watching.token, options={"verify_signature": False})
    assert claims["exp"] - claims["nbf"] <= 60
