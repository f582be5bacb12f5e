"""Real processes that shut down, or lose a service, while users talk."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import httpx
import pytest

from local.processes import Child
from local.servers import command as program
from local.servers import redis_answers
from tests.support import servers

pytestmark = pytest.mark.proof

COOKIE = """
from django.contrib.auth.models import User
from django.test import Client
client = Client()
client.force_login(User.objects.get(username="{username}"), backend="django.contrib.auth.backends.ModelBackend")
print(client.cookies["sessionid"].value)
"""
DUE = "UPDATE avatar_sessions_streamingsession SET ends_at = created_at, deadline_at = created_at WHERE status = 'live'"
OPEN = "SELECT id FROM avatar_sessions_streamingsession WHERE status <> 'ended'"
NEWEST = " FROM avatar_sessions_streamingsession ORDER BY created_at DESC LIMIT 1"
SECONDS = 40
"""Generous, for busy machines."""


class Stack:
    """A portal with a worker and a beat, the emulator behind it, and one user."""

    def __init__(self, emulator: servers.Emulator, portal: servers.Portal) -> None:
        self.emulator, self.portal = emulator, portal
        self.cookie = self.signed_in("demo")

    def signed_in(self, username: str) -> str:
        """Return a login cookie of one of the users of the first start."""
        return self.portal.manage("shell", "-v0", "-c", COOKIE.format(username=username)).strip()

    def sql(self, statement: str) -> list[Any]:
        with closing(sqlite3.connect(Path(self.portal.environment["VAR_DIR"]) / "db.sqlite3", timeout=20)) as database:
            found = database.execute(statement).fetchall()
            database.commit()
        return found

    def session(self, columns: str) -> Any:
        """Return columns of the newest session."""
        (row,) = self.sql("SELECT " + columns + NEWEST)
        return row

    async def control(self, what: str, order: dict[str, Any] | None = None) -> Any:
        """Query the emulator's state or give it an order."""
        method, address = "GET" if order is None else "POST", f"{self.emulator.url}/_emulator/{what}"
        async with aiohttp.ClientSession() as http, http.request(method, address, json=order) as answer:
            return await answer.json()

    @asynccontextmanager
    async def tab(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        headers = {"Cookie": f"sessionid={self.cookie}", "Origin": self.portal.url}
        address = f"{self.portal.url}/ws/personas/lucia/?lang=en"
        async with aiohttp.ClientSession(headers=headers) as http, http.ws_connect(address) as socket:
            yield socket

    @asynccontextmanager
    async def conversation(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.tab() as tab:
            await tab.send_json({"type": "session.start"})
            await hear(tab, "session.room")
            await tab.send_json({"type": "event.report", "kind": "first_frame", "data": {}})
            await hear(tab, "session.status", status="live")
            yield tab


async def hear(tab: aiohttp.ClientWebSocketResponse, message_type: str, **wanted: str) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        while True:
            message: dict[str, Any] = await tab.receive_json()
            if message["type"] == message_type and wanted.items() <= message.items():
                return message


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_true():
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with (
        servers.emulator(media=False, args=["--control"]) as emulator,
        servers.portal(emulator) as portal,
    ):
        yield Stack(emulator, portal)


@pytest.fixture(autouse=True)
async def wait_until_nothing_open(stack: Stack) -> AsyncIterator[None]:
    yield
    await stack.control("reset", {})
    stack.sql(DUE.replace("= 'live'", "<> 'ended'"))
    await until(lambda: not stack.sql(OPEN))


async def terminate(child: Child) -> None:
    os.kill(child.pid, signal.SIGTERM)
    await until(lambda: not child.is_running)


async def test_a_web_process_that_shuts_down_hands_its_tabs_over_and_awaits_pending_answers(
    stack: Stack,
) -> None:
    """Complaint 2: SIGTERM arrives while `new` is still being answered."""
    await stack.control("faults", {"on": "streaming.new", "kind": "delay", "seconds": 2})
    async with stack.tab() as tab:
        await tab.send_json({"type": "session.start"})
        session_id = (await hear(tab, "session.status", status="creating"))["session_id"]
        await terminate(stack.portal.web)
        while (message := await tab.receive(SECONDS)).type is aiohttp.WSMsgType.TEXT:
            pass
    assert message.data == 4503  # the page reconnects to another process
    status, theirs, left_at = stack.session("status, provider_session_id, abandoned_at")
    assert (status, bool(theirs), left_at) == ("connecting", True, None)
    stack.sql("UPDATE avatar_sessions_serverprocess SET lease_ends_at = datetime('now', '-1 second')")
    await until(lambda: bool(stack.session("abandoned_at")[0]))  # nobody has come back so far
    assert stack.sql("SELECT * FROM avatar_sessions_tab") == []
    stack.portal.web.start()
    stack.portal.web.wait_until(stack.portal.is_healthy)
    async with stack.tab() as tab:
        await tab.send_json({"type": "session.join", "session_id": session_id})
        assert (await hear(tab, "session.status"))["status"] == "connecting"
        assert stack.session("abandoned_at") == (None,)


async def test_a_web_process_that_shuts_down_closes_its_livekit_connections() -> None:
    """Otherwise each deployment would leave errors in the log."""
    with (
        servers.livekit() as livekit,
        servers.emulator(livekit, media=False) as emulator,
        servers.portal(emulator, livekit) as portal,
    ):
        portal.use_rooms("own")
        async with Stack(emulator, portal).tab() as tab:
            await tab.send_json({"type": "session.start"})
            await hear(tab, "session.room")
            await tab.send_json({"type": "session.stop"})
            await hear(tab, "session.status", status="ended")
            await terminate(portal.web)
        assert "Unclosed" not in portal.web.output()


async def test_a_worker_that_shuts_down_finishes_its_stops(stack: Stack) -> None:
    async with stack.conversation():
        await stack.control("faults", {"on": "streaming.stop", "kind": "delay", "seconds": 2})
        stack.sql(DUE)
        await until(lambda: stack.session("status")[0] == "stopping")
        await terminate(stack.portal.worker)
        assert stack.session("status, end_reason") == ("ended", "duration_limit")
    stack.portal.worker.start()


async def test_a_worker_that_shuts_down_releases_unconfirmed_stops(stack: Stack) -> None:
    """The next worker retries at once, not when the claim expires."""
    async with stack.conversation():
        await stack.control("faults", {"on": "streaming.stop", "kind": "delay", "seconds": 60, "times": 1})
        stack.sql(DUE)
        await until(lambda: stack.session("status")[0] == "stopping")
        await terminate(stack.portal.worker)
        assert stack.session("status, deadline_at < datetime('now')") == ("stopping", 1)
    stack.portal.worker.start()
    await until(lambda: stack.session("status")[0] == "ended")


async def test_a_restart_of_redis_loses_no_session_and_no_limit(stack: Stack) -> None:
    async with stack.conversation():
        stack.portal.redis.kill()
        stack.portal.redis.start()
        assert stack.session("status") == ("live",)
        stack.sql(DUE)
        await until(lambda: stack.session("status, end_reason") == ("ended", "duration_limit"))
    assert (await stack.control("sessions"))["sessions"] == []


async def stop_from_the_list(stack: Stack) -> str:
    """Stop the newest session in the list; return the resulting page."""
    path, cookies = "/admin/avatar_sessions/streamingsession/", {"sessionid": stack.signed_in("admin")}
    session_id = str(UUID(stack.session("id")[0]))
    async with httpx.AsyncClient(base_url=stack.portal.url, cookies=cookies, headers={"accept-language": "en"}) as http:
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', (await http.get(path)).text)[0]
        form = {"action": "stop", "reason": "Fire drill", "_selected_action": session_id, "csrfmiddlewaretoken": token}
        return (await http.post(path, data=form, follow_redirects=True, timeout=SECONDS)).text


async def stop_from_the_board(stack: Stack) -> str:
    """Stop all sessions on the board; return the message to the page."""
    headers = {"Cookie": f"sessionid={stack.signed_in('admin')}", "Origin": stack.portal.url}
    address = f"{stack.portal.url}/ws/board/?lang=en"
    async with aiohttp.ClientSession(headers=headers) as http, http.ws_connect(address) as board:
        await board.send_json({"type": "board.stop", "sessions": "all", "reason": "Fire drill"})
        return str((await hear(board, "board.stopped"))["words"])


@pytest.mark.parametrize("press", [stop_from_the_list, stop_from_the_board])
async def test_staff_stop_a_session_while_no_worker_runs(
    stack: Stack, press: Callable[[Stack], Awaitable[str]]
) -> None:
    """Complaint 2. The provider refuses at first."""
    portal, entries = (
        stack.portal,
        "SELECT count(*) FROM heygen_portal_auditentry WHERE kind = 'sessions_stopped'",
    )
    ((before,),) = stack.sql(entries)
    async with stack.conversation() as tab:
        portal.worker.kill()
        portal.beat.kill()
        await stack.control("faults", {"on": "streaming.stop", "kind": "answer", "status": 500, "times": 1})
        assert "1 session could not be stopped yet" in await press(stack)
        await hear(tab, "session.status", status="ended", reason="staff_stopped")
    assert (await stack.control("sessions"))["sessions"] == []
    assert stack.sql(entries) == [(before + 1,)]
    portal.worker.start()
    portal.beat.start()


async def test_staff_stop_a_session_from_the_list_while_redis_is_away(stack: Stack) -> None:
    async with stack.conversation():
        stack.portal.redis.kill()
        assert "1 session has ended." in await stop_from_the_list(stack)
        assert (await stack.control("sessions"))["sessions"] == []
    stack.portal.redis.start()
    stack.portal.redis.wait_until(lambda: redis_answers(urlsplit(stack.portal.environment["REDIS_URL"]).port or 0))


async def test_two_beats_at_once_are_harmless(stack: Stack, tmp_path: Path) -> None:
    """Each tick runs twice; the stop is requested once and recorded once."""
    variables = {"VAR_DIR": str(tmp_path)}
    command = program("beat", variables)
    beat = Child("second beat", command, tmp_path / "log", env={**stack.portal.environment, **variables})
    beat.start()
    try:
        async with stack.conversation():
            before = len((await stack.control("requests"))["requests"])
            stack.sql(DUE)
            await until(lambda: stack.session("status")[0] == "ended")
            asked = (await stack.control("requests"))["requests"][before:]
        assert [request["path"] for request in asked].count("/v1/streaming.stop") == 1
        ends = "SELECT count(*) FROM avatar_sessions_sessionevent WHERE kind = 'status' AND data LIKE '%\"ended\"%'"
        assert stack.sql(f"{ends} AND session_id = '{stack.session('id')[0]}'") == [(1,)]
    finally:
        beat.stop()
