"""An operator observes a running session in one of our own rooms."""

from __future__ import annotations

from collections.abc import Iterator

import jwt
import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, override_settings

from heygen_portal.people.access import roles
from sessions.models import Status
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db

KEYS = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "a secret of at least thirty-two letters"}


def member(role: roles.Role) -> User:
    roles.sync()
    user = User.objects.create_user(role.group, is_staff=role.is_staff)
    user.groups.add(Group.objects.get(name=role.group))
    return user


@pytest.fixture
def own_rooms() -> Iterator[None]:
    with override_settings(LIVEKIT_URL="ws://rooms.test", LIVEKIT_PUBLIC_URL="ws://rooms.test", **KEYS):
        yield


@pytest.mark.parametrize(
    ("role", "is_allowed"), [(roles.OPERATOR, True), (roles.AUDITOR, False)], ids=["operator", "auditor"]
)
def test_an_observer_is_hidden_and_recorded(
    client: Client, own_rooms: None, role: roles.Role, is_allowed: bool
) -> None:
    """Requirement 41."""
    person = member(role)
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    session = StreamingSessionFactory.create(status=Status.LIVE, room="portal-room")
    page = f"/admin/avatar_sessions/streamingsession/{session.pk}/observe/"
    assert (client.get(page).status_code == 200) == is_allowed
    assert not session.events.exists()
    answer = client.post(page)
    assert (answer.status_code == 200) == is_allowed
    recorded = [event.data for event in session.events.filter(kind="observed")]
    assert [(data["by"], data["from"]) for data in recorded] == ([(person.pk, "127.0.0.1")] if is_allowed else [])
    if is_allowed:
        claims = jwt.decode(answer.json()["token"], KEYS["LIVEKIT_API_SECRET"], ["HS256"])
        assert claims["sub"] == f"observer-{recorded[0]['seat']}"
        grants = jwt.decode(answer.json()["token"], KEYS["LIVEKIT_API_SECRET"], ["HS256"])["video"]
        assert (grants["hidden"], grants["canPublish"], grants["room"]) == (True, False, "portal-room")


@pytest.mark.parametrize(("status", "room"), [(Status.LIVE, ""), (Status.ENDED, "portal-room")])
def test_a_session_outside_our_rooms_cannot_be_observed(
    client: Client, own_rooms: None, status: Status, room: str
) -> None:
    client.force_login(member(roles.OPERATOR), backend="django.contrib.auth.backends.ModelBackend")
    session = StreamingSessionFactory.create(status=status, room=room)
    page = f"/admin/avatar_sessions/streamingsession/{session.pk}/"
    assert "/observe/" not in client.get(f"{page}change/").content.decode()
    assert client.post(f"{page}observe/").status_code == 409
    assert not session.events.filter(kind="observed").exists()
