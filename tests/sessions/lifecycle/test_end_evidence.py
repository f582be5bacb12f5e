"""Every end reason occurs, has evidence, and has a text in both languages."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.utils import timezone, translation
from django.utils.html import escape

from heygen_portal.livekit import LiveKitAway
from heygen_portal.providers.contract.provider import ProviderRejected, ProviderUnreachable
from sessions.actions import provision, stop
from sessions.lifecycle import end_evidence
from sessions.models import EndReason, LimitBy, Status, StreamingSession
from tests.sessions.tabs import a_person, a_persona, browser
from tests.support.factories import StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

LONG = timedelta(hours=1)


@sync_to_async
def a_session(status: Status = Status.LIVE, **fields: Any) -> StreamingSession:
    session: StreamingSession = StreamingSessionFactory.create(status=status, **fields)
    return session


async def due(status: Status = Status.LIVE, **fields: Any) -> StreamingSession:
    session = await a_session(status, deadline_at=timezone.now(), **fields)
    await stop.enforce_due(timezone.now())
    return session


async def user_stops(provider: Mock) -> StreamingSession:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        session_id = await tab.go_live()
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended")
    return await StreamingSession.objects.aget(pk=session_id)


async def tab_closes(provider: Mock) -> StreamingSession:
    return await due(abandoned_at=timezone.now() - LONG)


async def user_is_idle(provider: Mock) -> StreamingSession:
    return await due(active_at=timezone.now() - LONG)


async def time_is_up(provider: Mock) -> StreamingSession:
    return await due(ends_at=timezone.now() - timedelta(seconds=1))


def bound_by(limit: LimitBy) -> Callable[[Mock], Awaitable[StreamingSession]]:
    async def end(provider: Mock) -> StreamingSession:
        return await due(ends_at=timezone.now() - timedelta(seconds=1), limit_by=limit)

    return end


async def staff_stop(provider: Mock) -> StreamingSession:
    session, staff = await a_session(), await sync_to_async(UserFactory.create)(is_staff=True, is_superuser=True)

    def press() -> None:
        client = Client()
        client.force_login(staff)
        choice = {"action": "stop", "reason": "Fire drill today", "_selected_action": [str(session.pk)]}
        client.post("/admin/avatar_sessions/streamingsession/", choice)

    await sync_to_async(press)()
    return session


def ended_as(reason: EndReason, evidence: end_evidence.Evidence) -> Callable[[Mock], Awaitable[StreamingSession]]:
    async def end(provider: Mock) -> StreamingSession:
        session = await a_session()
        await stop.stop(session, reason, evidence)
        return session

    return end


async def no_picture_comes(provider: Mock) -> StreamingSession:
    return await due(Status.CONNECTING, created_at=timezone.now() - timedelta(minutes=2))


async def the_provider_ends_it(provider: Mock) -> StreamingSession:
    session = await a_session(created_at=timezone.now() - timedelta(minutes=5))
    await stop.reconcile(session.account)
    return session


def answered(refusal: Exception) -> Callable[[Mock], Awaitable[StreamingSession]]:
    async def ask(provider: Mock) -> StreamingSession:
        provider.new_session.side_effect = refusal
        session = await a_session(Status.CREATING, provider_session_id=None)
        await provision.create_and_start(session, Mock())
        return session

    return ask


async def starting_process_dies(provider: Mock) -> StreamingSession:
    long_ago = timezone.now() - timedelta(minutes=2)
    return await due(Status.CREATING, created_at=long_ago, provider_session_id=None)


WAYS: dict[EndReason, Callable[[Mock], Awaitable[StreamingSession]]] = {
    EndReason.USER_STOPPED: user_stops,
    EndReason.TAB_CLOSED: tab_closes,
    EndReason.IDLE: user_is_idle,
    EndReason.DURATION_LIMIT: time_is_up,
    EndReason.STAFF_STOPPED: staff_stop,
    EndReason.PERSONA_ENDED: ended_as(EndReason.PERSONA_ENDED, end_evidence.persona()),
    EndReason.TAKEN_OVER: ended_as(EndReason.TAKEN_OVER, end_evidence.taken_over(0)),
    EndReason.QUOTA: bound_by(LimitBy.QUOTA),
    EndReason.SPEND_CAP: bound_by(LimitBy.SPEND_CAP),
    EndReason.NO_PICTURE: no_picture_comes,
    EndReason.PROVIDER_ENDED: the_provider_ends_it,
    EndReason.PROVIDER_REFUSED: answered(ProviderRejected("no", code="10012", status=404)),
    EndReason.PROVIDER_UNREACHABLE: answered(ProviderUnreachable("ReadTimeout")),
    EndReason.ORPHAN_FOUND: starting_process_dies,
}


def text_in(language: str, thing: Callable[[], Any]) -> str:
    with translation.override(language):
        return str(thing())


@pytest.mark.parametrize("reason", list(EndReason))
async def test_every_end_reason_has_its_evidence_in_both_languages(provider: Mock, reason: EndReason) -> None:
    """Complaint 6: every end has a cause that staff can read."""
    session = await WAYS[reason](provider)
    await session.arefresh_from_db()
    assert session.end_reason == reason
    asked = await session.events.aget(kind="status", data__to="stopping")
    assert asked.data["evidence"] == session.end_evidence
    in_words = sync_to_async(end_evidence.describe)
    with translation.override("en"):
        english = await in_words(session.end_evidence)
    with translation.override("es"):
        spanish = await in_words(session.end_evidence)
    assert english
    assert spanish
    assert english != spanish
    assert text_in("en", lambda: reason.label) != text_in("es", lambda: reason.label)
    assert "unknown" not in f"{reason} {english}".lower()


@pytest.mark.parametrize(
    ("seen", "stage"),
    [
        ([], "room"),
        (["room_connected"], "track"),
        (["room_connected", "track_subscribed"], "frame"),
    ],
)
async def test_missing_video_names_the_stage_that_failed(provider: Mock, seen: list[str], stage: str) -> None:
    """Complaint 6."""
    session = await a_session(
        Status.CONNECTING, created_at=timezone.now() - timedelta(minutes=2), deadline_at=timezone.now()
    )
    for number, kind in enumerate(seen, start=1):
        await session.events.acreate(number=number, source="browser", kind=kind, previous_hash="", hash="")
    await stop.enforce_due(timezone.now())
    await session.arefresh_from_db()
    assert session.end_evidence["code"] == f"no_picture_{stage}"


async def test_a_duration_limit_names_its_origin(provider: Mock) -> None:
    """Complaints 5, 19."""
    began = timezone.now() - timedelta(minutes=10)
    ends_at = began + timedelta(minutes=10)
    theirs = await due(created_at=began, ends_at=ends_at, limit_by=LimitBy.PROVIDER)
    ours = await due(created_at=began, ends_at=ends_at)
    for session, by in ((theirs, "provider"), (ours, "persona")):
        await session.arefresh_from_db()
        assert (session.end_evidence["limit_by"], session.end_evidence["limit_s"]) == (by, 600)


def test_evidence_shows_times_to_the_second_in_the_portals_time_zone() -> None:
    evidence = end_evidence.inactive(datetime(2026, 1, 2, 13, 4, 5, tzinfo=UTC), timedelta(minutes=3))
    with timezone.override(ZoneInfo("Europe/Madrid")):
        assert text_in("en", lambda: end_evidence.describe(evidence)) == (
            "The last activity was at Jan. 2, 2026, 14:04:05. The limit is 180 s."
        )
        assert "2 de enero de 2026, 14:04:05" in text_in("es", lambda: end_evidence.describe(evidence))


@pytest.mark.parametrize(
    "stored",
    [
        [],
        5,
        {"code": "time_up"},
        {"code": "time_up", "began_at": "yesterday", "limit_s": 60, "limit_by": "persona"},
        {"code": "time_up", "began_at": "2026-01-01T00:00:00+00:00", "limit_s": 60, "limit_by": "nobody"},
        {"code": "gave_up", "verdict": [1], "user": 1},
    ],
)
def test_a_session_whose_evidence_was_changed_has_pages_that_show_it(admin_client: Client, stored: Any) -> None:
    session = StreamingSessionFactory.create(status=Status.ENDED, end_evidence=stored)
    for page in ("change", "audit"):
        answer = admin_client.get(f"/admin/avatar_sessions/streamingsession/{session.pk}/{page}/")
        assert escape(json.dumps(stored)) in answer.content.decode()


def in_english(evidence: end_evidence.Evidence) -> str:
    with translation.override("en"):
        return end_evidence.describe(evidence)


@pytest.mark.parametrize(
    ("loss", "words"), [("persona", "unpublished"), ("deactivated", "deactivated"), ("role", "removed")]
)
def test_lost_access_says_what_was_lost(loss: str, words: str) -> None:
    user = UserFactory.create(username="ana")
    text = in_english(end_evidence.access_lost(user.pk, loss))
    assert text.startswith("ana no longer had access: ")
    assert words in text


def test_our_livekit_server_is_not_taken_for_the_provider() -> None:
    text = in_english(end_evidence.provider_failed(LiveKitAway("create_room: ConnectError")))
    assert "LiveKit server was not available: create_room: ConnectError" in text
    assert "The provider was not contacted" in text


def test_the_browsers_verdict_is_named_as_its_claim() -> None:
    text = in_english(end_evidence.gave_up("network", UserFactory.create().pk))
    assert "Reason according to the browser only: " in text
    assert "network" in text
