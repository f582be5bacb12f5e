"""A session with every kind of trouble: timeline and emulator's log agree."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from heygen_portal import providers
from sessions.audit import inspection
from sessions.models import SessionEvent, StreamingSession
from sessions.timeline.timeline import Timeline
from tests.sessions.tabs import Tab, a_person, a_persona, browser
from tests.support import servers

pytestmark = [pytest.mark.django_db(transaction=True)]

PAGE_CLOCK_AHEAD = 90.0
"""Seconds: the user's clock is wrong."""
ENDED_BY_SERVER = 5
SENT_BY_THE_EMULATOR = ["create_token", "new", "start", "list", "task", "interrupt", "list", "stop"]


@pytest.fixture
def emulator(fresh_emulator: servers.Emulator) -> servers.Emulator:
    return fresh_emulator


async def reported(tab: Tab, kind: str, /, **data: Any) -> None:
    now = (time.time() + PAGE_CLOCK_AHEAD) * 1000
    await tab.say("event.report", kind=kind, data=data, at=now, sent=now)


async def until(is_true: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that the page is not informed of."""
    while not await is_true():
        continue


async def cause_trouble(tab: Tab, control: httpx.AsyncClient) -> str:
    """Run through every kind of trouble; return the session's ID."""
    await control.post("faults", json={"kind": "late", "seconds": 0.3})
    await tab.say("session.start")
    await tab.hear("session.room")
    await reported(tab, "room_connected")
    await reported(tab, "verdict", code="early", stage="picture")
    status = await tab.hear("provider.status")
    assert status["status"] != "missing"
    await reported(tab, "track_subscribed", kind="video")
    await reported(tab, "first_frame", width=1280, height=720, ms=900)
    session_id: str = (await tab.hear("session.status", status="live"))["session_id"]
    await tab.say("task.send", ref="1", kind="talk", text="¿Cuál es el horario de la clínica en agosto?")
    sent = await tab.hear("task.sent", ref="1")
    assert sent["status"] == "sent"
    await reported(tab, "avatar_start_talking", task_id=sent["provider_task_id"])
    await tab.say("task.interrupt")
    events = SessionEvent.objects.filter(session__id=session_id)
    await until(events.filter(kind="interrupted").aexists)
    line = {"task_id": sent["provider_task_id"], "message": "De lunes a", "interrupted": True}
    await reported(tab, "avatar_end_message", **line)
    await reported(tab, "avatar_stop_talking", task_id=sent["provider_task_id"], duration_ms=400)
    theirs = (await StreamingSession.objects.aget(pk=session_id)).provider_session_id
    await control.post("faults", json={"kind": "frozen", "session": theirs})
    await reported(tab, "frozen")
    await reported(tab, "ladder", step="rejoin", **{"from": "picture"}, because="frozen")
    await control.delete(f"sessions/{theirs}/faults")
    await reported(tab, "room_connected")
    await reported(tab, "first_frame", width=1280, height=720, ms=4000)
    await until(events.filter(kind="provider_started").aexists)
    await control.post(f"sessions/{theirs}/end", json={})
    await reported(tab, "room_disconnected", reason=ENDED_BY_SERVER)
    await tab.hear("session.status", status="ended")
    return session_id


def event_sequence(line: Timeline) -> list[str]:
    """Return the main sequence of moments, without concurrent ones."""
    beside = {"provider_started", "provider_asked", "task"}
    moves = (str(moment.data.get("to")) if moment.kind == "status" else moment.kind for moment in line.moments)
    return [kind for kind in moves if kind not in beside]


async def test_the_timeline_of_a_troubled_session_matches_the_emulators_log(
    emulator: servers.Emulator,
) -> None:
    """Requirements 6, 49, 53, 55, 64 and 69; complaint 17."""
    persona = await a_persona(
        avatar__account__base_url=emulator.url,
        avatar__account__api_key=emulator.api_key,
        avatar__provider_avatar_id="Lucia_public_20260101",
        voice=None,
        knowledge_base=None,
        greeting="",
    )
    control = httpx.AsyncClient(base_url=f"{emulator.url}/_emulator/", trust_env=False, timeout=30)
    async with control, providers.closing_providers():
        async with browser(await a_person(), persona.slug) as tab:
            session_id = await cause_trouble(tab, control)
        calls = (await control.get("requests")).json()["requests"]
        (theirs,) = (await control.get("sessions?all=1")).json()["sessions"]
    session = await StreamingSession.objects.aget(pk=session_id)
    line = await sync_to_async(inspection.timeline_of)(session)

    assert event_sequence(line) == [
        "requested", "creating", "provider_authenticated", "provider_created", "connecting",
        "room_connected", "verdict", "track_subscribed", "first_frame", "live",
        "text_sent", "avatar_start_talking", "interrupted", "avatar_end_message", "avatar_stop_talking",
        "frozen", "ladder", "room_connected", "first_frame", "room_disconnected", "stopping", "ended",
    ]  # fmt: skip
    # The emulator's log has the same calls in the same order, and the same cause of the end.
    # A call that it refused because the avatar was late is repeated and counts once.
    paths = (call["path"].rsplit(".", 1)[-1] for call in calls if "streaming" in call["path"])
    assert [path for path, _again in groupby(paths)] == SENT_BY_THE_EMULATOR
    assert (theirs["end_reason"], session.end_reason) == ("provider", "provider_ended")
    assert theirs["session_id"] == session.provider_session_id
    by_kind = {moment.kind: moment for moment in line.moments}
    lived = (by_kind["room_disconnected"].at - by_kind["provider_created"].at).total_seconds()
    assert lived == pytest.approx(theirs["duration"], abs=5)
    # And measured on one clock, although the page's was ahead.
    skews = [moment.skew.total_seconds() for moment in line.moments if moment.skew is not None]
    assert len(skews) > 10
    assert all(abs(skew - PAGE_CLOCK_AHEAD) < 10 for skew in skews)
    (turn,) = line.turns
    assert (turn.by, turn.latency is not None) == ("text", True)
    lost = [(outage.sign, outage.steps, outage.ends_at is not None) for outage in line.outages]
    assert lost == [("frozen", ("rejoin",), True), ("room_disconnected", (), False)]
    assert (line.failing_stage, line.anomalies) == ("", ())
