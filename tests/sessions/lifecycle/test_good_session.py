"""A session without faults: what its record proves afterwards."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.test import Client

from heygen_portal import providers
from heygen_portal.people.access import roles
from sessions.audit import inspection
from sessions.integrity import verification
from sessions.models import SessionEvent, StreamingSession, Utterance
from sessions.timeline.timeline import Timeline
from tests.sessions.tabs import Tab, a_person, a_persona, browser
from tests.support import servers

pytestmark = [pytest.mark.django_db(transaction=True)]

ASKED, ANSWERED = "¿Qué tal está Inés?", "Muy bien, ¿y tú?"


@pytest.fixture
def emulator(fresh_emulator: servers.Emulator) -> servers.Emulator:
    return fresh_emulator


async def reported(tab: Tab, kind: str, /, **data: Any) -> None:
    now = time.time() * 1000
    await tab.say("event.report", kind=kind, data=data, at=now, sent=now)


async def recorded(session_id: str, kind: str) -> None:
    """Wait for something that the page is not informed of."""
    while not await SessionEvent.objects.filter(session__id=session_id, kind=kind).aexists():
        continue


async def talk(tab: Tab, control: httpx.AsyncClient) -> str:
    """Seven steps, two turns, and a rating; return the session's ID."""
    await tab.say("session.start")
    await tab.hear("session.room")
    await reported(tab, "connection_state", state="connected")
    await reported(tab, "room_connected")
    await reported(tab, "track_published", kind="video")
    await reported(tab, "track_subscribed", kind="video")
    await reported(tab, "first_frame", width=1280, height=720, ms=640)
    session_id: str = (await tab.hear("session.status", status="live"))["session_id"]
    await recorded(session_id, "provider_started")
    await tab.say("task.send", ref="1", kind="talk", text=ASKED)
    task_id = (await tab.hear("task.sent", ref="1", status="sent"))["provider_task_id"]
    await reported(tab, "avatar_start_talking", task_id=task_id)
    await reported(tab, "avatar_end_message", task_id=task_id, message=ANSWERED)
    await reported(tab, "user_start")
    await reported(tab, "user_stop")
    await reported(tab, "user_end_message", task_id="u", message="Hasta luego.")
    await reported(tab, "avatar_start_talking", task_id="v")
    assert len(await open_at(control)) == 1
    await tab.say("session.stop")
    await tab.hear("session.status", status="ended")
    await reported(tab, "room_disconnected", reason=1)
    await reported(tab, "picture", fps=24.8, seconds=9)
    for rating in ("poor", "good"):
        await reported(tab, "rated", rating=rating)
    await reported(tab, "rated", rating="<script>")
    assert (await tab.hear("error"))["code"] == "bad_message"
    return session_id


async def open_at(control: httpx.AsyncClient) -> list[Any]:
    """Return the provider's own list of open sessions."""
    return list((await control.get("sessions")).json()["sessions"])


@pytest.fixture
async def good_session(emulator: servers.Emulator) -> tuple[StreamingSession, list[str], list[Any]]:
    """The session, the provider's calls, and its open sessions afterwards."""
    at = {"avatar__account__base_url": emulator.url, "avatar__account__api_key": emulator.api_key}
    silent = {"voice": None, "knowledge_base": None, "greeting": ""}
    persona = await a_persona(**at, avatar__provider_avatar_id="Lucia_public_20260101", **silent)
    control = httpx.AsyncClient(base_url=f"{emulator.url}/_emulator/", trust_env=False, timeout=30)
    async with control, providers.closing_providers():
        async with browser(await a_person(), persona.slug) as tab:
            session_id = await talk(tab, control)
        calls = [call["path"].rsplit(".", 1)[-1] for call in (await control.get("requests")).json()["requests"]]
        left = await open_at(control)
    return await StreamingSession.objects.select_related("persona").aget(pk=session_id), calls, left


def page_for_an_auditor(session: StreamingSession) -> str:
    roles.sync()
    auditor = User.objects.create_user("auditor", is_staff=True)
    auditor.groups.add(Group.objects.get(name=roles.AUDITOR.group))
    client = Client()
    client.force_login(auditor, backend="django.contrib.auth.backends.ModelBackend")
    page = f"/admin/avatar_sessions/streamingsession/{session.pk}/audit/"
    return client.get(page, headers={"accept-language": "en"}).content.decode()


async def test_the_record_of_a_good_session_proves_the_requested_behaviour(
    good_session: tuple[StreamingSession, list[str], list[Any]],
) -> None:
    session, calls, left = good_session
    line = await sync_to_async(inspection.timeline_of)(session)
    check_seven_steps_in_order(line, calls)
    assert (left, session.end_reason) == ([], "user_stopped"), "Requirement 49: the provider's list no longer has it."
    check_sent_values(line)
    check_quality_measured(line)
    check_tracks_and_connection(line)
    shown = await sync_to_async(page_for_an_auditor)(session)
    for words in ("Track published", "Browser left the room", "Connection", "24.8", "Good", "Intact"):
        assert words in shown, "Requirement 69: what the room did is to be seen."
    await check_stored_lines(session)
    assert await sync_to_async(verification.first_fault_of)(session.pk) is None
    assert line.anomalies == ()


def check_seven_steps_in_order(line: Timeline, calls: list[str]) -> None:
    """Requirement 6.

    Authenticate, create, start, join, interact and close, in the record and at the provider.
    """
    steps = {
        "provider_authenticated": "create_token",
        "provider_created": "new",
        "provider_started": "start",
        "text_sent": "task",
    }
    kinds = [moment.kind for moment in line.moments]
    assert [kind for kind in kinds if kind in steps] == list(steps)
    assert kinds.index("provider_created") < kinds.index("room_connected") < kinds.index("text_sent")
    assert [call for call in calls if call in (*steps.values(), "stop")] == [*steps.values(), "stop"]
    assert [moment.data["to"] for moment in line.moments if moment.kind == "status"][-2:] == ["stopping", "ended"]


def check_sent_values(line: Timeline) -> None:
    """Requirement 45: the record has the fields that the provider received."""
    [created] = [moment for moment in line.moments if moment.kind == "provider_created"]
    received = {"version": "v2", "avatar_id": "Lucia_public_20260101", "quality": "high", "voice.rate": 1.0}
    assert {name: created.data["sent"].get(name) for name in received} == received


def check_quality_measured(line: Timeline) -> None:
    """Requirement 53: response times (median), startup, frame rate, rating."""
    assert [(turn.by, turn.latency is not None) for turn in line.turns] == [("text", True), ("voice", True)]
    assert line.median_latency is not None
    assert line.time_to_first_frame
    assert (line.frames_per_second, line.rating) == (24.8, "good")


def check_tracks_and_connection(line: Timeline) -> None:
    """Requirements 55 and 64.

    Every stage between the provider's session and the first frame is recorded.
    """
    room = {moment.kind: moment for moment in line.moments if moment.source == "browser"}
    for kind in ("connection_state", "track_published", "track_subscribed", "first_frame"):
        assert room[kind].page_at
        assert line.began_at < room[kind].at
    assert line.failing_stage == ""
    assert all(stage.took is not None for stage in line.stages)


async def check_stored_lines(session: StreamingSession) -> None:
    """Complaint 17."""
    lines = [line async for line in Utterance.objects.filter(session=session)]
    assert [(line.who, line.by, line.source, line.text) for line in lines] == [
        ("user", "text", "portal", ASKED),
        ("avatar", "voice", "browser", ANSWERED),
        ("user", "voice", "browser", "Hasta luego."),
    ]
    assert [line.at for line in lines] == sorted(line.at for line in lines)
