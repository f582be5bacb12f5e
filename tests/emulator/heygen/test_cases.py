"""Every documented request and refusal, of the emulator and the real service.

The real service is called with --live.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from livekit import rtc

from tests.emulator.providers_doc import Case, cases, look
from tests.emulator.wire import Wire

IN_ROOM_S = 20  # users of the real service report up to seven


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "real_case" in metafunc.fixturenames:
        wanted = [case for case in cases() if case.asked_of == "both"] if metafunc.config.getoption("--live") else []
        metafunc.parametrize("real_case", wanted, ids=str)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_the_emulator_answers_as_documented(case: Case, wire: Wire) -> None:
    check(case, wire.ask(case, wire.session(case.state)))


def test_the_real_service_answers_as_documented(real_case: Case) -> None:
    key = os.environ["HEYGEN_API_KEY"]
    with Wire("https://api.heygen.com", key) as live, real_session(live, real_case.state) as session_id:
        check(real_case, live.ask(real_case, session_id))


def check(case: Case, answer: httpx.Response) -> None:
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json()
    assert answer.status_code == case.status, body
    if case.code is not None:
        assert int(body.get("code") or body["error"]["code"]) == case.code
        return
    assert body.get("error") is None
    assert body.get("code", 100) == 100
    for path in case.fields:
        look(body, path)


@contextmanager
def real_session(live: Wire, state: str) -> Iterator[str]:
    """A session of the real service in this state; whatever happens, it is stopped."""
    if state == "-":
        yield ""
        return
    opened = live.data("streaming.new", {"version": "v2", "quality": "low"})
    session = {"session_id": opened["session_id"]}
    try:
        if state in ("connecting", "connected"):
            live.data("streaming.start", session)
        if state == "closed":
            live.data("streaming.stop", session)
        if state == "connected":
            with in_room(opened["url"], opened["access_token"]):
                yield session["session_id"]
        else:
            yield session["session_id"]
    finally:
        live.call("streaming.stop", session)


@contextmanager
def in_room(url: str, token: str) -> Iterator[None]:
    """Join as the user, from the moment both of the avatar's tracks are published."""
    with asyncio.Runner() as runner:
        room = runner.run(_join(url, token))
        try:
            yield
        finally:
            runner.run(room.disconnect())


async def _join(url: str, token: str) -> rtc.Room:
    room, tracks = rtc.Room(), asyncio.Semaphore(0)
    room.on("track_subscribed", lambda *_: tracks.release())
    await room.connect(url, token)
    async with asyncio.timeout(IN_ROOM_S):
        await tracks.acquire()
        await tracks.acquire()
    return room
