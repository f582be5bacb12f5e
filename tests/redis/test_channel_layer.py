"""State of the channel layer during and after a Redis outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from django.utils.module_loading import import_string
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from heygen_portal import settings
from tests.support import servers
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""redis-py leaves the socket of a lost connection to the garbage collector."""

TRIES = 20


@pytest.fixture
def server() -> Any:
    with servers.redis_process() as server:
        yield server


@pytest.fixture
async def layer(server: servers.Redis) -> AsyncIterator[Any]:
    layer = import_string(str(settings.CHANNEL_LAYERS["default"]["BACKEND"]))(
        hosts=[{"address": server.url, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)}]
    )
    yield layer
    await layer.flush()


def is_up(server: servers.Redis) -> bool:
    try:
        return bool(redis.Redis.from_url(server.url).ping())
    except RedisError:
        return False


def subscribed_channels(server: servers.Redis) -> set[bytes]:
    """Return the channels with subscribers."""
    channels: Any = redis.Redis.from_url(server.url).pubsub_channels()
    return set(channels)


async def new_channel(layer: Any) -> str:
    """Return a new channel once connections that were cut are restored."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while True:
            with suppress(RedisError):
                return str(await layer.new_channel())
            await asyncio.sleep(0.05)


async def test_tabs_that_connect_while_redis_is_down_leave_no_state(server: servers.Redis, layer: Any) -> None:
    here = await layer.new_channel()
    server.process.kill()
    kept = [here]
    for _ in range(TRIES):
        with suppress(RedisError):  # the first may use a connection that looks alive
            kept.append(await layer.new_channel())
    with pytest.raises(RedisError):
        await layer.group_add("group", here)
    inner = layer._get_layer()
    assert len(kept) < TRIES / 2
    assert (list(inner.channels), inner.groups) == (kept, {})


async def test_a_subscription_during_a_reconnection_fails_as_if_redis_were_down(
    layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect() -> None:
        raise RuntimeError("readuntil() called while another coroutine is already waiting for incoming data")

    channel = await layer.new_channel()
    inner = layer._get_layer()
    monkeypatch.setattr(inner._shards[0]._pubsub.connection, "connect", connect)
    with pytest.raises(RedisError):
        await layer.new_channel()
    assert list(inner.channels) == [channel]


async def test_a_disconnected_tab_leaves_its_groups(layer: Any, server: servers.Redis) -> None:
    channel = await layer.new_channel()
    for number in range(3):
        await layer.group_add(f"group-{number}", channel)
    receiving = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)
    receiving.cancel()
    await asyncio.wait([receiving])
    inner = layer._get_layer()
    assert (inner.channels, inner.groups, inner._groups_of, subscribed_channels(server)) == ({}, {}, {}, set())


async def test_channels_of_tabs_that_left_during_an_outage_are_not_resubscribed(
    server: servers.Redis, layer: Any
) -> None:
    stays, *leave = [await layer.new_channel() for _ in range(5)]
    for number, channel in enumerate(leave):
        await layer.group_add(f"group-{number}", channel)
    server.process.kill()
    for number, channel in enumerate(leave):
        receiving = asyncio.create_task(layer.receive(channel))
        await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.wait([receiving])
        with suppress(RedisError):
            await layer.group_discard(f"group-{number}", channel)
    server.process.start()
    server.process.wait_until(lambda: is_up(server))
    came = await new_channel(layer)
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while subscribed_channels(server) != {came.encode(), stays.encode()}:
            await asyncio.sleep(0.05)
