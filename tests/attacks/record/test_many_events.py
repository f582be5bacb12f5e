"""A flood of reports fills neither the record nor the provider's rate limit."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.utils import timezone

from heygen_portal.providers.contract.provider import OpenSession
from heygen_portal.runtime import background
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.in_thread import in_thread
from sessions.actions import provider_status
from sessions.audit import inspection
from sessions.capacity import provider_lookups
from sessions.integrity import verification
from sessions.lifecycle import events, transitions
from sessions.lifecycle.events import Entry
from sessions.models import EndReason, SessionEvent, StreamingSession
from sessions.timeline.page_clock import PageClock
from sessions.web import report_gate
from tests.sessions import reports
from tests.sessions.tabs import Tab, a_person, a_persona, browser
from tests.support.factories import WHY, PersonaFactory, StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("provider_of_many")]

MAX_EVENTS, MAX_LINES = 5_000, 10_000
SMALL = {"report.session": "20/minute"}


async def report_count(session_id: str) -> int:
    return await SessionEvent.objects.filter(session=UUID(session_id), source="browser").acount()


async def dropped_events(session_id: str) -> list[dict[str, object]]:
    rows = SessionEvent.objects.filter(session=UUID(session_id), kind="reports_dropped").order_by("number")
    return [{name: value for name, value in row.data.items() if name != "rows"} async for row in rows]


async def flood(tab: Tab, count: int, kind: str = "connection_quality", **data: object) -> None:
    for _ in range(count):
        await tab.say("event.report", kind=kind, data=data or {"quality": "good"})


@override_settings(BUDGETS=SMALL)
@pytest.mark.parametrize(
    ("kind", "data", "kept"),
    [
        ("connection_quality", {"quality": "good"}, 20),
        ("user_start", {}, 20),
        ("frozen", {"noise": "x" * 3_900}, 5),  # four units each
    ],
)
async def test_a_flood_of_reports_is_dropped_and_counted(kind: str, data: dict[str, object], kept: int) -> None:
    user, persona = await a_person(), await a_persona()
    tab = await sync_to_async(Tab)(user, persona.slug)
    await tab.connect(timeout=WAIT_TIMEOUT_S)
    session_id = await tab.go_live()
    await flood(tab, 50, kind, **data)
    refused = await tab.hear("error", about="event.report")
    assert 1 <= refused["wait_seconds"] <= 120
    await tab.say("task.send", ref="1", kind="talk", text="hola")
    await tab.hear("task.sent", ref="1")
    await tab.say("session.stop")
    await tab.hear("session.status", status="ended")
    await tab.disconnect(timeout=WAIT_TIMEOUT_S)
    await background.finish()
    assert await report_count(session_id) == kept + 1  # the first frame
    first, last = await dropped_events(session_id)
    assert first == {"because": "rate"}
    assert last == {"because": "rate", "count": 50 - kept}


@override_settings(BUDGETS=SMALL)
async def test_a_flood_delays_neither_the_first_frame_nor_the_end() -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.say("session.start")
        await tab.hear("session.room")
        await flood(tab, 200)
        await tab.say("event.report", kind="first_frame", data={"ms": 300})
        await tab.hear("session.status", status="live")
        await flood(tab, 200)
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended", reason="user_stopped")


@override_settings(BUDGET_FACTOR=100.0)
async def test_a_socket_with_too_many_unanswered_messages_is_closed(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    tab = await sync_to_async(Tab)(user, persona.slug)
    await tab.connect(timeout=WAIT_TIMEOUT_S)
    await tab.go_live()
    answer = asyncio.Event()

    async def keep_alive(session_id: str) -> None:
        await answer.wait()

    provider.keep_alive = AsyncMock(side_effect=keep_alive)  # accepted messages stay unanswered
    for _ in range(64 + 1_000):
        await tab.say("session.stay")
    while (message := await tab.receive_output(timeout=WAIT_TIMEOUT_S))["type"] != "websocket.close":
        pass
    answer.set()
    assert message["code"] == 4429


@pytest.mark.parametrize(
    ("stored", "kind", "is_kept"),
    [
        (49, "frozen", True),
        (50, "frozen", False),
        (50, "user_end_message", True),
        (100, "user_end_message", False),
        (100, "first_frame", True),
    ],
)
async def test_stored_page_reports_per_session_are_limited(
    monkeypatch: pytest.MonkeyPatch, stored: int, kind: str, is_kept: bool
) -> None:
    assert (report_gate.MAX_EVENTS, report_gate.MAX_LINES) == (MAX_EVENTS, MAX_LINES)
    monkeypatch.setattr(report_gate, "MAX_EVENTS", 50)
    monkeypatch.setattr(report_gate, "MAX_LINES", 100)
    session = await sync_to_async(StreamingSessionFactory.create)()
    noise = [Entry("frozen", {}, events.Source.BROWSER)] * stored
    await in_thread(events.begin)(session.pk, *noise)
    gate = report_gate.ReportGate()
    assert await gate.admit(session.pk, (session.user_id or 0), {"kind": kind, "data": {}}) is is_kept
    await gate.close()
    assert [row["because"] for row in await dropped_events(str(session.pk))] == ([] if is_kept else ["maximum"])


# Lookups at the provider


def sessions_of_one_account(count: int) -> list[StreamingSession]:
    persona = PersonaFactory.create(published=True)
    return StreamingSessionFactory.create_batch(count, persona=persona)


async def test_concurrent_lookups_share_two_calls(provider: Mock) -> None:
    (session,) = await sync_to_async(sessions_of_one_account)(1)
    calls = {provider_lookups._shared(session.account) for _ in range(64)}
    await asyncio.wait(calls)
    assert provider.list_sessions.call_count == len(calls) == 2


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("session_stopped", {"reason": "unknown"}),
        ("room_disconnected", {"reason": 4}),
        ("room_disconnected", {"reason": 5}),
    ],
)
async def test_64_reports_of_one_page_do_not_cause_64_lookups(
    provider: Mock, kind: str, data: dict[str, object]
) -> None:
    provider.list_sessions = AsyncMock(return_value=[OpenSession("their-session-0", "connected", None)])
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        session_id = await tab.go_live()
        await flood(tab, 63, kind, **data)
        await tab.say("event.report", kind="user_end_message", data={"message": "hola"})
        await tab.hear("utterance")  # reports are processed in order
    assert await report_count(session_id) == 65
    assert 1 <= provider.list_sessions.call_count <= 12


@override_settings(BUDGETS={"provider_lookup.account": "3/minute"})
async def test_sessions_of_one_account_share_its_lookup_budget(provider: Mock) -> None:
    for session in await sync_to_async(sessions_of_one_account)(5):
        await provider_status.end_if_gone(session.pk)
    assert provider.list_sessions.call_count == 3


async def test_one_person_cannot_use_up_an_accounts_lookups(provider: Mock) -> None:
    sessions = await sync_to_async(sessions_of_one_account)(4)
    one = sessions[0]
    for _ in range(2):
        for session in sessions[:3]:
            session.user_id = one.user_id
            for _ in range(5):
                with suppress(TooManyRequests):
                    await provider_lookups.listed(session)
    assert provider.list_sessions.call_count == 24
    await provider_lookups.listed(sessions[3])
    assert provider.list_sessions.call_count == 25


async def test_a_lookup_during_a_call_gets_a_newer_answer(provider: Mock) -> None:
    one, other = await sync_to_async(sessions_of_one_account)(2)
    answers = [[OpenSession("early", "connected", None)], [OpenSession("late", "connected", None)]]
    called, let_go = asyncio.Event(), asyncio.Event()

    async def list_sessions() -> list[OpenSession]:
        answer = answers.pop(0)
        called.set()
        await let_go.wait()
        return answer

    provider.list_sessions = AsyncMock(side_effect=list_sessions)
    first = asyncio.create_task(provider_lookups.listed(one))
    await called.wait()
    later = [provider_lookups._shared(other.account) for _ in range(3)]
    let_go.set()
    assert [row.provider_session_id for row in await first] == ["early"]
    assert {(await call)[0].provider_session_id for call in later} == {"late"}


async def test_dropped_reports_are_part_of_the_chain() -> None:
    session = await sync_to_async(StreamingSessionFactory.create)()
    await in_thread(events.record)(session.pk, Entry("requested"))
    gate = report_gate.ReportGate()
    with override_settings(BUDGETS={"report.session": "1/minute"}):
        assert await gate.admit(session.pk, (session.user_id or 0), {"kind": "frozen"})
        with pytest.raises(TooManyRequests):
            await gate.admit(session.pk, (session.user_id or 0), {"kind": "frozen"})
        assert not await gate.admit(session.pk, (session.user_id or 0), {"kind": "frozen"})
    await gate.close()
    assert await dropped_events(str(session.pk)) == [{"because": "rate"}]
    await sync_to_async(end)(session)
    await gate.close()
    await gate.close()
    assert await dropped_events(str(session.pk)) == [{"because": "rate"}, {"because": "rate", "count": 2}]
    assert await sync_to_async(lambda: list(verification.faults()))() == []


def end(session: StreamingSession) -> None:
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)


@override_settings(BUDGETS={"report.session": "1/minute"})
@pytest.mark.parametrize("tabs", [1, 3])
async def test_dropped_reports_are_recorded_once_and_counted_once_per_session(tabs: int) -> None:
    session = await sync_to_async(StreamingSessionFactory.create)()
    gates = [report_gate.ReportGate() for _ in range(tabs)]
    for gate in gates:
        for _ in range(5):
            with suppress(TooManyRequests):
                await gate.admit(session.pk, (session.user_id or 0), {"kind": "frozen"})
    gates[0].overflowed(session.pk)
    await gates[0].close()  # the page is reloaded
    await sync_to_async(end)(session)
    for gate in gates:
        await gate.close()
    first, last = await dropped_events(str(session.pk))
    assert (first, last) == ({"because": "rate"}, {"because": "rate", "count": 5 * tabs})


@override_settings(BUDGETS={"report.session": "1/minute"})
async def test_a_process_counts_dropped_reports_of_the_newest_sessions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_gate, "MAX_SESSIONS_COUNTED", 2)
    monkeypatch.setattr(report_gate, "_dropped", OrderedDict())
    sessions = [await sync_to_async(StreamingSessionFactory.create)() for _ in range(3)]
    for session in sessions:
        gate = report_gate.ReportGate()
        gate.overflowed(None)  # its tab has no session yet
        assert await gate.admit(session.pk, (session.user_id or 0), {"kind": "frozen"})
        with pytest.raises(TooManyRequests):
            await gate.admit(session.pk, (session.user_id or 0), {"kind": "frozen"})
    for session in sessions:
        await sync_to_async(end)(session)
        await report_gate.record_dropped(session.pk)
    counted = [[row.get("count") for row in await dropped_events(str(session.pk))] for session in sessions]
    assert counted == [[None], [None, 1], [None, 1]]


@override_settings(BUDGETS={"report.session": "1/minute", "report.person": "1/minute"})
@pytest.mark.parametrize("kind", ["frozen", "avatar_end_message", "room_disconnected"])
async def test_reports_after_the_end_are_not_recorded(kind: str) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        session_id = await tab.go_live()
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended")
    events_before = await SessionEvent.objects.filter(session=UUID(session_id)).acount()
    long_ago = timezone.now() - timedelta(hours=3)
    await StreamingSession.objects.filter(pk=session_id).aupdate(ended_at=long_ago)
    for _ in range(2):
        async with browser(user, persona.slug) as tab:
            await tab.say("session.join", session_id=session_id)
            await tab.hear("session.status", status="ended")
            await flood(tab, 100, kind, message="late")
            await tab.hear("error", about="event.report")
    await background.finish()
    assert await SessionEvent.objects.filter(session=UUID(session_id)).acount() == events_before


@override_settings(BUDGET_FACTOR=10.0)
@pytest.mark.parametrize(
    ("kind", "data", "kept"),
    [
        ("rated", {"rating": "good"}, 10),
        ("rated", {"rating": "poor", "noise": "x" * 3_900}, 10),
        ("first_frame", {"ms": 300}, 20),
    ],
)
@pytest.mark.parametrize("is_over", [False, True])
async def test_stored_ratings_and_first_frames_are_limited(
    kind: str, data: dict[str, object], kept: int, is_over: bool
) -> None:
    session = await sync_to_async(StreamingSessionFactory.create)()
    if is_over:
        await sync_to_async(end)(session)
    for _ in range(30):
        await reports.handle(session.pk, {"kind": kind, "data": data}, PageClock())
    assert await SessionEvent.objects.filter(session=session, kind=kind).acount() == kept


async def test_continuing_without_picture_is_recorded_once_as_a_page_report() -> None:
    session = await sync_to_async(StreamingSessionFactory.create)()
    report = {"kind": "ladder", "data": {"step": "text"}}
    for _ in range(3):
        await reports.handle(session.pk, report, PageClock())
    await sync_to_async(end)(session)
    await reports.handle(session.pk, {"kind": "ladder", "data": {"step": "sound"}}, PageClock())
    rows = SessionEvent.objects.filter(session=session, kind="without_picture")
    assert [(row.source, row.data["step"]) async for row in rows] == [("browser", "text")]


@pytest.mark.parametrize(
    ("kind", "data"),
    [("session_stopped", {}), ("room_disconnected", {"reason": 5}), ("verdict", {"code": "network"})],
)
async def test_a_first_frame_does_not_wait_for_the_providers_list(
    provider: Mock, kind: str, data: dict[str, object]
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def list_sessions() -> list[OpenSession]:
        asked.set()
        await answer.wait()
        return [OpenSession("their-session-0", "connected", None)]

    provider.list_sessions = AsyncMock(side_effect=list_sessions)
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        await tab.say("session.start")
        await tab.hear("session.room")
        await tab.say("event.report", kind=kind, data=data)
        await asked.wait()
        await tab.say("event.report", kind="first_frame", data={"ms": 300})
        await tab.hear("session.status", status="live")
        answer.set()


# Staff pages of such a session


def session_with_events(count: int) -> StreamingSession:
    """Return a session with this many events and an intact record."""
    session: StreamingSession = StreamingSessionFactory.create()
    entries = [Entry("frozen", {"n": n}, events.Source.BROWSER) for n in range(count - 1)]
    events.begin(session.pk, Entry("requested"), *entries)
    return session


@pytest.fixture
def administrator(client: Client) -> Client:
    client.force_login(
        User.objects.create_superuser("staff", "staff@example.org"), backend="django.contrib.auth.backends.ModelBackend"
    )
    return client


def test_the_pages_of_a_long_session_are_paginated(administrator: Client) -> None:
    session = session_with_events(5_050)
    page = administrator.get(f"/admin/avatar_sessions/streamingsession/{session.pk}/change/")
    assert page.status_code == 200
    assert len(page.content) < 1_000_000
    assert page.content.count(b"field-data") <= 120
    later = administrator.get(f"/admin/avatar_sessions/streamingsession/{session.pk}/change/?events-page=101")
    assert "5048" in later.content.decode()
    audited = audit(administrator, session)
    assert b"are computed from the first 5" in audited.content
    assert len(audited.content) < 1_000_000


def audit(client: Client, session: StreamingSession, page: int = 1) -> Any:
    address = f"/admin/avatar_sessions/streamingsession/{session.pk}/audit?events={page}"
    return client.get(address, follow=True, headers={"accept-language": "en"})


@pytest.mark.parametrize("count", [50, 51, 57])
def test_the_auditors_page_lists_every_event(
    administrator: Client, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "MAX_ANALYSED_EVENTS", 50)
    monkeypatch.setattr(inspection, "EVENTS_PER_PAGE", 10)
    session = session_with_events(count)
    pages = audit(administrator, session).context["events"].pages
    shown = [audit(administrator, session, page).context["events"].moments for page in range(1, pages + 1)]
    assert sorted(moment.number for moments in shown for moment in moments) == list(range(1, count + 1))


@pytest.mark.parametrize("count", [50, 51])
def test_the_auditors_page_says_when_its_measures_are_incomplete(
    administrator: Client, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "MAX_ANALYSED_EVENTS", 50)
    page = audit(administrator, session_with_events(count))
    assert (b"are computed from the first 50." in page.content) is (count > 50)


@pytest.mark.parametrize("asked", ["0", "-1", "x", "99999999999999999999", "²"])
def test_an_invalid_page_number_shows_the_nearest_page(administrator: Client, asked: str) -> None:
    session = session_with_events(3)
    page = administrator.get(f"/admin/avatar_sessions/streamingsession/{session.pk}/audit?events={asked}", follow=True)
    assert page.context["events"].number == 1
