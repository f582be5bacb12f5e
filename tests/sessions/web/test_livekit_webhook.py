"""Webhooks of our own LiveKit server: signature, record and consequences."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import uuid4

import pytest
from django.test import AsyncClient, Client, override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from livekit import api

from heygen_portal import livekit
from heygen_portal.providers.contract.provider import OpenSession
from sessions.actions import deadlines
from sessions.lifecycle import transitions
from sessions.models import EndReason, Status, StreamingSession
from sessions.presence import tabs
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db(transaction=True)

KEY, SECRET = "key", "a secret of at least thirty-two letters"
PROCESS = uuid4()


@pytest.fixture(autouse=True)
def livekit_set_up() -> Iterator[None]:
    with override_settings(LIVEKIT_URL="ws://rooms.test", LIVEKIT_API_KEY=KEY, LIVEKIT_API_SECRET=SECRET):
        yield


@pytest.fixture
def session() -> StreamingSession:
    """A session in a room of our own server, with one tab."""
    made: StreamingSession = StreamingSessionFactory.create(status=Status.LIVE, room="portal-room")
    tabs.renew_lease(PROCESS)
    tabs.enter(made.pk, PROCESS, "tab")
    return made


def event(kind: str, identity: str = "person", sid: str = "PA_1", **more: Any) -> bytes:
    content: dict[str, Any] = {
        "event": kind,
        "id": f"EV_{uuid4()}",
        "createdAt": str(int(datetime.now(UTC).timestamp())),
    }
    content |= {"room": {"name": "portal-room"}, "participant": {"identity": identity, "sid": sid}}
    return json.dumps(content | more).encode()


def signed(body: bytes, secret: str = SECRET, life: timedelta = timedelta(minutes=5)) -> str:
    sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
    token: str = api.AccessToken(KEY, secret).with_sha256(sha256).with_ttl(life).to_jwt()
    return token


def post(body: bytes, authorization: str | None = None) -> int:
    headers = {"authorization": signed(body) if authorization is None else authorization}

    async def ask() -> int:
        try:
            answer = await AsyncClient().post("/webhooks/livekit/", body, "application/webhook+json", headers=headers)
        finally:
            await livekit.close()  # a server's event loop outlives its requests; this one does not
        return answer.status_code

    return asyncio.run(ask())


def event_kinds(session: StreamingSession) -> list[str]:
    return [event.kind for event in session.events.all()]


def is_not_abandoned(session: StreamingSession) -> bool:
    session.refresh_from_db()
    return session.abandoned_at is None


def test_a_signed_event_is_recorded_with_its_source(session: StreamingSession) -> None:
    assert post(event("track_published", "heygen", track={"type": "VIDEO"})) == 204
    kept = session.events.get()
    assert (kept.kind, kept.source) == ("track_published", "livekit")
    assert kept.data == {"who": "avatar", "sid": "PA_1", "kind": "video"}


def test_a_request_without_a_valid_signature_is_refused(session: StreamingSession) -> None:
    body = event("participant_left")
    stale = event("participant_left", createdAt=str(int((datetime.now(UTC) - timedelta(hours=1)).timestamp())))
    assert post(body, "") == 401
    assert post(body, "Bearer nonsense") == 401
    assert post(body, signed(body, "another secret, also of enough letters")) == 401
    assert post(body, signed(body + b" ")) == 401
    assert post(body, signed(body, life=timedelta(minutes=-10))) == 401
    assert post(body, livekit.for_person("portal-room").token) == 401  # a token for a room signs no body
    assert post(stale) == 401
    assert Client().get("/webhooks/livekit/").status_code == 405
    with override_settings(LIVEKIT_API_SECRET=""):
        assert post(body) == 401
    assert event_kinds(session) == []


@given(body=st.binary(max_size=200))
def test_a_malformed_body_is_refused(body: bytes) -> None:
    with pytest.raises(livekit.UntrustedWebhook):
        livekit.read_webhook(body, signed(body))


def test_a_repeated_event_is_refused(session: StreamingSession) -> None:
    body = event("participant_joined")
    assert [post(body), post(body)] == [204, 409]
    assert event_kinds(session) == ["participant_joined"]


def test_an_event_that_could_not_be_recorded_may_be_sent_again(
    session: StreamingSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = event("participant_joined")
    with monkeypatch.context() as broken:
        broken.setattr("sessions.web.livekit_events.handle", AsyncMock(side_effect=RuntimeError))
        with pytest.raises(RuntimeError):
            post(body)
    assert post(body) == 204
    assert event_kinds(session) == ["participant_joined"]


def test_an_event_of_a_room_without_a_session_is_ignored() -> None:
    assert post(event("participant_joined")) == 204


@pytest.mark.parametrize("kind", ["room_started", "track_unpublished", "egress_ended"])
def test_an_event_of_no_interest_is_accepted_and_not_recorded(session: StreamingSession, kind: str) -> None:
    assert post(event(kind)) == 204
    assert event_kinds(session) == []


def test_a_session_ends_when_the_person_leaves_the_room_even_if_a_tab_stays(
    session: StreamingSession,
) -> None:
    """One of four independent ways in which a session ends. Complaint 2."""
    post(event("participant_joined"))
    post(event("participant_left"))
    assert not is_not_abandoned(session)
    deadlines.claim_due(timezone.now() + transitions.TAB_GRACE)
    session.refresh_from_db()
    assert (session.status, session.end_reason) == (Status.STOPPING, EndReason.TAB_CLOSED)
    assert session.end_evidence["code"] == "room_left"


def test_a_person_who_rejoins_the_room_keeps_the_session(session: StreamingSession) -> None:
    for body in (event("participant_joined"), event("participant_left"), event("participant_joined", sid="PA_2")):
        post(body)
    assert is_not_abandoned(session)


def test_a_late_leave_event_does_not_end_the_next_visit(session: StreamingSession) -> None:
    for body in (event("participant_joined"), event("participant_joined", sid="PA_2"), event("participant_left")):
        post(body)
    assert is_not_abandoned(session)


def test_a_join_event_after_its_leave_event_does_not_reopen_the_visit(session: StreamingSession) -> None:
    post(event("participant_left"))
    post(event("participant_joined"))
    assert not is_not_abandoned(session)


def test_a_report_keeps_a_session_only_while_its_tab_is_open(session: StreamingSession) -> None:
    post(event("participant_left"))
    tabs.confirm_presence(session.pk)
    assert is_not_abandoned(session)
    tabs.leave("tab")
    tabs.confirm_presence(session.pk)
    assert not is_not_abandoned(session)


def test_an_observer_who_leaves_does_not_end_the_session(session: StreamingSession) -> None:
    post(event("participant_joined", "observer-1"))
    post(event("participant_left", "observer-1"))
    assert is_not_abandoned(session)
    assert session.events.earliest("number").data["who"] == "observer"


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("body", [event("participant_left", "heygen"), event("room_finished", "", "")])
def test_the_provider_is_asked_before_a_session_without_an_avatar_ends(
    provider: Mock, session: StreamingSession, body: bytes, listed: bool
) -> None:
    rows = [OpenSession(str(session.provider_session_id), "connected", None)] if listed else []
    provider.list_sessions.return_value = rows
    content = json.loads(body) | {"id": f"EV_{uuid4()}", "createdAt": str(int(datetime.now(UTC).timestamp()))}
    assert post(json.dumps(content).encode()) == 204
    session.refresh_from_db()
    assert session.end_reason == ("" if listed else EndReason.PROVIDER_ENDED)
