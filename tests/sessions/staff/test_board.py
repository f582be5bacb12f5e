"""The live board over its real socket: what staff see, and stopping sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import Mock, call
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Group, Permission, User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone, translation

from heygen_portal.asgi import application
from heygen_portal.people.access import roles
from heygen_portal.providers.contract.provider import ProviderUnreachable, StopReason
from heygen_portal.runtime import budgets
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.trail.models import AuditEntry
from sessions.lifecycle import broadcast, end_evidence, events, transitions
from sessions.lifecycle.events import Entry, Source
from sessions.models import EndReason, QueueEntry, ServerProcess, Status, StreamingSession
from sessions.staff import board, board_consumer
from tests.sessions.tabs import ORIGIN
from tests.support.factories import PersonaFactory, ProviderAccountFactory, StreamingSessionFactory, UserFactory
from tests.timeouts import WAIT_TIMEOUT_S

ON_SOCKET = pytest.mark.django_db(transaction=True)


def make_member(role: roles.Role) -> User:
    roles.sync()
    user: User = UserFactory.create(username=role.group, is_staff=role.is_staff)
    user.groups.add(Group.objects.get(name=role.group))
    return user


class Page(WebsocketCommunicator):
    """A page of the board, which applies changes like the real one."""

    def __init__(self, user: User) -> None:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        cookie = f"sessionid={client.cookies['sessionid'].value}; time_zone=Asia/Kathmandu".encode()
        headers = [ORIGIN, (b"host", b"localhost"), (b"cookie", cookie)]
        super().__init__(application, "/ws/board/?lang=en", headers=headers)
        self.scope["client"] = ("192.0.2.7", 50_000)
        self.rows: dict[str, dict[str, Any]] = {}
        self.state: dict[str, Any] = {}

    async def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.receive_json_from(timeout=WAIT_TIMEOUT_S)
        if message["type"] == "board.changed":
            self.rows |= {row["id"]: row for row in message.get("sessions", [])}
            for over in message.get("over", []):
                del self.rows[over]
            self.state |= message
        return message

    async def see(self, session: StreamingSession, **wanted: Any) -> None:
        """Wait until the row of this session has these values."""
        while not all(self.rows.get(str(session.pk), {}).get(name) == value for name, value in wanted.items()):
            await self.hear()

    async def say(self, kind: str, **content: Any) -> None:
        await self.send_json_to({"type": kind, **content})

    async def answer(self, kind: str) -> dict[str, Any]:
        while (message := await self.hear())["type"] != kind:
            pass
        return message


@asynccontextmanager
async def open_board(role: roles.Role) -> AsyncIterator[Page]:
    page = await sync_to_async(lambda: Page(make_member(role)))()
    assert (await page.connect(timeout=WAIT_TIMEOUT_S))[0]
    try:
        yield page
    finally:
        await page.disconnect(timeout=WAIT_TIMEOUT_S)


@sync_to_async
def make_session(username: str, **fields: Any) -> StreamingSession:
    session: StreamingSession = StreamingSessionFactory.create(user__username=username, **fields)
    return session


@pytest.fixture(autouse=True)
def short_batch_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_consumer, "BATCH_DELAY_S", 0.01)


@ON_SOCKET
async def test_the_board_follows_a_session_to_its_end() -> None:
    session = await make_session("ana", status=Status.CONNECTING)
    async with open_board(roles.OPERATOR) as page:
        await page.see(session, user="ana", stage="Waiting for video", network="unknown", is_alert=False)
        await in_thread(transitions.go_live)(session)
        await page.see(session, stage="Live", quality="high (720p)")
        for kind, data in (("connection_quality", {"quality": "poor"}), ("ladder", {"step": "sound"})):
            await in_thread(events.record)(session.pk, Entry(kind, data, Source.BROWSER))
        await page.see(session, stage="Sound only", network="poor", network_words="Weak")
        await in_thread(transitions.begin_stop)(session, EndReason.IDLE, {})
        await page.see(session, is_stopping=True, why="Ended after inactivity", is_alert=True)
        await in_thread(transitions.end)(session)
        while page.rows:
            await page.hear()


@ON_SOCKET
async def test_a_moment_on_the_board_is_in_the_browsers_time_zone() -> None:
    trouble = {"code": "not_listed", "asked_at": "2026-01-31T23:30:00+00:00"}
    session = await make_session("ana", status=Status.STOPPING, stop_attempts=1, stop_trouble=trouble)
    async with open_board(roles.OPERATOR) as page:
        while str(session.pk) not in page.rows:
            await page.hear()
        assert "Feb. 1, 2026, 05:15:00" in page.rows[str(session.pk)]["trouble"]


@ON_SOCKET
async def test_selected_sessions_are_stopped_and_the_reason_is_recorded(provider: Mock) -> None:
    """Requirement 49."""
    ana, ben, eva = [await make_session(name, provider_session_id=f"of-{name}") for name in ("ana", "ben", "eva")]
    async with open_board(roles.OPERATOR) as page:
        await page.say("board.stop", sessions=[str(ana.pk), str(ben.pk), str(uuid4())], reason=" Too late today ")
        assert (await page.answer("board.stopping"))["count"] == 2
        while set(page.rows) != {str(eva.pk)}:
            await page.hear()
    asked = [event.data async for event in ana.events.filter(kind="stop_asked")]
    operator = await User.objects.aget(username=roles.OPERATOR.group)
    assert asked == [{"by": operator.pk, "from": "192.0.2.7", "reason": "Too late today"}]
    await ana.arefresh_from_db()
    assert (ana.end_reason, ana.end_evidence["why"]) == (EndReason.STAFF_STOPPED, "Too late today")
    entry = await AuditEntry.objects.aget(kind=AuditEntry.Kind.SESSIONS_STOPPED)
    assert (entry.by_id, entry.about, entry.data["reason"]) == (operator.pk, "ana, ben", "Too late today")
    assert sorted(entry.data["sessions"]) == sorted([str(ana.pk), str(ben.pk)])
    stopped = [call("of-ana", StopReason.CLOSED), call("of-ben", StopReason.CLOSED)]
    assert sorted(provider.stop_session.call_args_list) == stopped


@ON_SOCKET
async def test_all_sessions_are_stopped_at_once(provider: Mock) -> None:
    for name in ("ana", "ben", "eva"):
        await make_session(name)
    async with open_board(roles.ADMINISTRATOR) as page:
        await page.say("board.stop", sessions="all", reason="An exercise")
        assert (await page.answer("board.stopping"))["count"] == 3
        while page.rows or not page.state:
            await page.hear()
    assert await StreamingSession.objects.filter(end_reason=EndReason.STAFF_STOPPED).acount() == 3


@ON_SOCKET
@pytest.mark.parametrize("reason", ["", "  a ", None, "x" * 501])
async def test_a_stop_needs_a_reason(reason: Any) -> None:
    session = await make_session("ana")
    async with open_board(roles.OPERATOR) as page:
        await page.say("board.stop", sessions="all", reason=reason)
        assert (await page.answer("error"))["code"] == "reason_needed"
    await session.arefresh_from_db()
    assert session.status == Status.LIVE


@ON_SOCKET
async def test_an_auditor_can_watch_but_not_stop() -> None:
    session = await make_session("ana", room="portal-room")
    async with open_board(roles.AUDITOR) as page:
        await page.see(session, user="ana", look="")
        await page.say("board.stop", sessions=[str(session.pk)], reason="I may not")
        assert (await page.answer("error"))["code"] == "not_found"
        assert page.state["line"] == []
    await session.arefresh_from_db()
    assert session.status == Status.LIVE


@ON_SOCKET
@pytest.mark.parametrize("role", [roles.END_USER, roles.EDITOR], ids=lambda role: role.group)
async def test_the_board_is_refused_without_permission_to_view_sessions(role: roles.Role) -> None:
    page = await sync_to_async(lambda: Page(make_member(role)))()
    assert await page.connect(timeout=WAIT_TIMEOUT_S) == (False, 4404)


@ON_SOCKET
async def test_losing_the_role_closes_the_board() -> None:
    async with open_board(roles.OPERATOR) as page:
        await page.hear()
        await User.objects.filter(username=roles.OPERATOR.group).aupdate(is_staff=False)
        await in_thread(lambda: broadcast.wake([]))()
        while (output := await page.receive_output(timeout=WAIT_TIMEOUT_S))["type"] != "websocket.close":
            pass
        assert output["code"] == 4403


@sync_to_async
def make_queue_entry(username: str) -> QueueEntry:
    process = ServerProcess.objects.create(lease_ends_at=timezone.now())
    persona = PersonaFactory.create(published=True)
    return QueueEntry.objects.create(
        user=UserFactory.create(username=username),
        persona=persona,
        account=persona.avatar.account,
        process=process,
        channel=uuid4().hex,
    )


@ON_SOCKET
async def test_staff_see_the_queue_and_remove_an_entry() -> None:
    """Complaint 4."""
    place = await make_queue_entry("leo")
    async with open_board(roles.OPERATOR) as page:
        while [person["user"] for person in page.state.get("line", [])] != ["leo"]:
            await page.hear()
        await page.say("board.remove", place=place.pk)
        while page.state["line"]:
            await page.hear()
    assert not await QueueEntry.objects.aexists()


@ON_SOCKET
async def test_an_entry_that_left_the_queue_cannot_be_removed() -> None:
    async with open_board(roles.OPERATOR) as page:
        await page.say("board.remove", place=123_456)
        while (message := await page.hear())["type"] != "error":
            pass
        assert message["code"] == "not_found"


@ON_SOCKET
async def test_a_board_that_could_not_be_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_consumer, "REFRESH_S", 0)
    monkeypatch.setattr(board_consumer, "BATCH_DELAY_S", 0)
    read, failures = board.read_board, iter([OperationalError("busy"), ValueError("a changed row")])

    def fail_twice(user_id: int) -> Any:
        for failure in failures:
            raise failure
        return read(user_id)

    monkeypatch.setattr(board, "read_board", fail_twice)
    session = await in_thread(StreamingSessionFactory.create)()
    async with open_board(roles.OPERATOR) as page:
        await page.see(session, stage="Live")


@ON_SOCKET
async def test_too_many_boards_of_one_user_are_refused() -> None:
    user = await in_thread(make_member)(roles.OPERATOR)
    with suppress(budgets.TooManyRequests):
        while True:
            await budgets.spend("connect", person=user.pk, address="192.0.2.7")
    page = await in_thread(Page)(user)
    assert (await page.connect(timeout=WAIT_TIMEOUT_S))[0]
    assert (await page.receive_json_from(timeout=WAIT_TIMEOUT_S))["about"] == "connect"
    assert (await page.receive_output(timeout=WAIT_TIMEOUT_S))["code"] == 4429


@pytest.mark.django_db
def test_unknown_sessions_at_a_provider_are_listed() -> None:
    """Complaint 4."""
    seen_at = timezone.now().isoformat()
    row = {"id": "theirs", "status": "connected", "seen_at": seen_at}
    ProviderAccountFactory.create(name="Main", unknown_sessions=[row])
    found = board.read_board(make_member(roles.OPERATOR).pk)
    assert found
    assert found.strangers == [{"id": "theirs", "status": "connected", "account": "Main", "since": seen_at}]


@pytest.mark.django_db
def test_observers_get_a_link_for_sessions_in_own_rooms() -> None:
    """Requirement 41."""
    ours, theirs = (StreamingSessionFactory.create(room=room) for room in ("portal-room", ""))
    operator, auditor = (board.read_board(make_member(role).pk) for role in (roles.OPERATOR, roles.AUDITOR))
    assert operator
    assert auditor
    look = f"/admin/avatar_sessions/streamingsession/{ours.pk}/observe/"
    assert [operator.sessions[str(session.pk)].look for session in (ours, theirs)] == [look, ""]
    assert auditor.sessions[str(ours.pk)].look == ""


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("reported", "stage", "network"),
    [
        ([], "Live", "Unknown"),
        ([("connection_quality", {"quality": "poor"})], "Live", "Weak"),
        ([("connection_quality", {"quality": "odd"})], "Live", "Unknown"),
        ([("ladder", {"step": "sound"})], "Sound only", "Unknown"),
        ([("ladder", {"step": "rejoin"})], "Recovering", "Unknown"),
        ([("frozen", {})], "Recovering", "No video"),
        ([("room_reconnecting", {})], "Recovering", "No video"),
        ([("room_reconnecting", {}), ("room_reconnected", {})], "Live", "Unknown"),
        ([("ladder", {"step": "text"}), ("room_reconnected", {})], "Text only", "Unknown"),
        ([("ladder", {"step": "rejoin"}), ("first_frame", {})], "Live", "Unknown"),
    ],
)
def test_a_row_shows_what_the_page_reported_last(
    reported: list[tuple[str, dict[str, str]]], stage: str, network: str
) -> None:
    session = StreamingSessionFactory.create()
    for kind, data in reported:
        events.record(session.pk, Entry(kind, data, Source.BROWSER))
    with translation.override("en"):
        found = board.read_board(make_member(roles.OPERATOR).pk)
        assert found
        row = found.sessions[str(session.pk)]
    assert (row.stage, row.network_words) == (stage, network)


@pytest.mark.django_db
def test_a_row_shows_that_nobody_is_there_and_why_a_stop_is_not_confirmed() -> None:
    left = StreamingSessionFactory.create(abandoned_at=timezone.now())
    trouble = end_evidence.provider_failed(ProviderUnreachable("ReadTimeout"))
    stopping = StreamingSessionFactory.create(status=Status.STOPPING, stop_attempts=2, stop_trouble=trouble)
    with translation.override("en"):
        found = board.read_board(make_member(roles.OPERATOR).pk)
    assert found
    assert found.sessions[str(left.pk)].network_words == "Absent"
    assert found.sessions[str(stopping.pk)].trouble == (
        "Not confirmed after 2 attempts. No usable response: ProviderUnreachable, ReadTimeout."
    )


@pytest.mark.django_db
def test_costs_need_permission() -> None:
    session = StreamingSessionFactory.create(persona__avatar__account__monthly_cap=10)
    operator = board.read_board(make_member(roles.OPERATOR).pk)
    assert operator
    assert operator.sessions[str(session.pk)].credits_per_minute == 0.2
    assert operator.figures["caps"] == 10
    viewer = UserFactory.create(is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_streamingsession"))
    without = board.read_board(viewer.pk)
    assert without
    assert without.sessions[str(session.pk)].credits_per_minute is None
    assert "caps" not in without.figures


@pytest.mark.django_db
def test_the_board_needs_a_fixed_number_of_queries(django_assert_max_num_queries: Any) -> None:
    viewer = make_member(roles.ADMINISTRATOR).pk
    for session in StreamingSessionFactory.create_batch(50):
        events.record(session.pk, Entry("connection_quality", {"quality": "good"}, Source.BROWSER))
    with django_assert_max_num_queries(20):
        found = board.read_board(viewer)
    assert found
    assert len(found.sessions) == 50
