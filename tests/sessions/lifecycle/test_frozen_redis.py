"""A Redis that does not answer delays no stop and loses no message."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from django.test import override_settings
from redis.exceptions import ConnectionError as RedisConnectionError

from heygen_portal import settings
from heygen_portal.redis.channel_layer import EVENTS_MISSED
from heygen_portal.runtime import background
from sessions.actions import stop as stopping
from sessions.lifecycle import broadcast
from sessions.models import EndReason, Status, StreamingSession, Utterance
from tests.sessions.tabs import a_person, a_persona, browser
from tests.support import servers
from tests.support.factories import WHY, StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = 8


@pytest.fixture
def redis_server() -> Iterator[servers.Redis]:
    [layer] = [settings.CHANNEL_LAYERS["default"]]
    with servers.redis_process() as server:
        # Without time-outs of its own, so that whoever waits for a frozen server waits for ever.
        hosts = [{"address": server.url, "socket_timeout": None}]
        with override_settings(CHANNEL_LAYERS={"default": {**layer, "CONFIG": {"hosts": hosts}}}):
            yield server


@contextmanager
def frozen(server: servers.Redis) -> Iterator[None]:
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


@sync_to_async
def live_sessions() -> list[StreamingSession]:
    return [
        StreamingSessionFactory.create(status=Status.LIVE, provider_session_id=f"session-{number}")
        for number in range(PEOPLE)
    ]


async def listen(session: StreamingSession) -> tuple[Any, str]:
    layer: Any = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(broadcast.group_name(session.pk), channel)
    return layer, channel


async def statuses(layer: Any, channel: str, last: str) -> list[str]:
    """Return the statuses that arrive, up to `last`."""
    seen: list[str] = []
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while last not in seen:
            message = await layer.receive(channel)
            if message != EVENTS_MISSED:
                seen.append(message["event"]["status"])
    return seen


async def test_stops_reach_the_provider_while_redis_does_not_answer(
    redis_server: servers.Redis, provider: Mock
) -> None:
    sessions = await live_sessions()
    watching = [await listen(session) for session in sessions]
    with frozen(redis_server):
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await asyncio.gather(*(stopping.stop(session, EndReason.USER_STOPPED, WHY) for session in sessions))
        stopped = {call.args[0] for call in provider.stop_session.await_args_list}
        assert stopped == {session.provider_session_id for session in sessions}
        ended = await sync_to_async(StreamingSession.objects.filter(status=Status.ENDED).count)()
        assert ended == PEOPLE
    for layer, channel in watching:
        assert await statuses(layer, channel, Status.ENDED) == [Status.STOPPING, Status.ENDED]


async def test_tabs_are_told_to_read_the_state_after_an_outage(redis_server: servers.Redis, provider: Mock) -> None:
    sessions = await live_sessions()
    watching = [await listen(session) for session in sessions]
    redis_server.process.kill()
    await stopping.stop(sessions[0], EndReason.USER_STOPPED, WHY)
    redis_server.process.start()
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        for layer, channel in watching:
            while await layer.receive(channel) != EVENTS_MISSED:
                pass


async def test_a_page_gets_the_lines_of_an_outage(redis_server: servers.Redis, provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab, browser(user, persona.slug) as other:
        session_id = await tab.go_live()
        await other.say("session.join", session_id=session_id)
        await other.hear("session.status", status="live")
        redis_server.process.kill()
        await tab.say("event.report", kind="user_end_message", data={"task_id": "their-1", "message": "¿Seguís ahí?"})
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while not await Utterance.objects.filter(who=Utterance.Who.USER).aexists():
                await asyncio.sleep(0.01)
        redis_server.process.start()
        assert (await other.hear("utterance"))["text"] == "¿Seguís ahí?"


async def test_messages_wait_in_their_order_until_redis_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RETRY_AFTER_S", (0.001,))
    sent: list[int] = []
    failures = iter([RedisConnectionError(), TimeoutError(), RedisConnectionError()])

    async def send(number: int) -> None:
        for failure in failures:
            raise failure
        sent.append(number)

    for number in range(3):
        background.send_soon(partial(send, number))
    await background.finish()
    assert sent == [0, 1, 2]


def test_a_loop_that_ends_sends_its_messages_first() -> None:
    sent: list[int] = []

    async def send_two() -> None:
        async def send(number: int) -> None:
            await asyncio.sleep(0)
            sent.append(number)

        for number in (1, 2):
            background.send_soon(partial(send, number))

    async_to_sync(send_two)()
    assert sent == [1, 2]


async def test_the_messages_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_UNSENT", 3)
    is_back, sent = asyncio.Event(), asyncio.Queue[int]()

    async def send(number: int) -> None:
        await is_back.wait()
        await sent.put(number)

    for number in range(5):
        background.send_soon(partial(send, number))
    is_back.set()
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        assert [await sent.get() for _ in range(3)] == [2, 3, 4]
