"""channels-redis' publish/subscribe layer without its leaks and its silence in Redis outages.

channels-redis keeps a queue for each tab that failed to subscribe, and after an outage subscribes again for tabs that
left meanwhile. During an outage pages reconnect every few seconds, so both would grow.

Messages that are published while a connection is down are lost to its tabs. After it is restored, each tab gets
`EVENTS_MISSED`, and reads the state.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer, RedisSingleShardConnection
from channels_redis.utils import _wrap_close, decode_hosts
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

EVENTS_MISSED = {"type": "events.missed"}


class PortalChannelLayer(RedisPubSubChannelLayer):
    def _get_layer(self) -> PortalLoopLayer:
        loop = asyncio.get_running_loop()
        if loop not in self._layers:
            self._layers[loop] = PortalLoopLayer(*self._args, **self._kwargs, channel_layer=self)
            _wrap_close(self, loop)
        layer: PortalLoopLayer = self._layers[loop]
        return layer


class PortalLoopLayer(RedisPubSubLoopLayer):
    def __init__(self, hosts: Any = None, **kwargs: Any) -> None:
        super().__init__(hosts=hosts, **kwargs)
        self._shards = [PortalShard(host, self) for host in decode_hosts(hosts)]
        self._groups_of: defaultdict[str, set[str]] = defaultdict(set)

    def announce_missed_events(self) -> None:
        """Tell every tab of this process that events may not have reached it."""
        notice = self.channel_layer.serialize(EVENTS_MISSED)
        for messages in self.channels.values():
            messages.put_nowait(notice)

    async def receive(self, channel: str) -> Any:
        try:
            return await super().receive(channel)
        except asyncio.CancelledError:  # the tab is gone, possibly without leaving its groups
            for group in self._groups_of.pop(channel, set()).copy():
                with suppress(RedisError):
                    await super().group_discard(group, channel)
            raise

    async def _subscribe_to_channel(self, channel: str) -> None:
        try:
            await super()._subscribe_to_channel(channel)
        except BaseException:
            self.channels.pop(channel, None)
            raise

    async def group_add(self, group: str, channel: str) -> None:
        try:
            await super().group_add(group, channel)
            self._groups_of[channel].add(group)
        except BaseException:
            members = self.groups.get(name := self._get_group_channel_name(group), set())
            members.discard(channel)
            if not members:
                self.groups.pop(name, None)
            raise

    async def group_discard(self, group: str, channel: str) -> None:
        if channel in self._groups_of:
            self._groups_of[channel].discard(group)
            if not self._groups_of[channel]:
                del self._groups_of[channel]
        await super().group_discard(group, channel)


class PortalPubSub(PubSub):
    def __init__(self, *args: Any, on_restored: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._on_restored = on_restored
        self._restoring: set[Any] = set()

    async def execute_command(self, *args: Any) -> None:
        """Send a command.

        Raises RedisError if the receiving task is restoring the connection.
        """
        try:
            await super().execute_command(*args)
        except RuntimeError as exc:  # both tasks wait for the answer to the handshake
            raise RedisConnectionError("the connection is being restored") from exc

    async def on_connect(self, connection: Any) -> None:
        # They were unsubscribed on a broken connection, so redis-py would subscribe to them again.
        for name in self.pending_unsubscribe_channels:
            self.channels.pop(name, None)
        self._restoring = set(self.channels)
        await super().on_connect(connection)

    async def handle_message(self, response: Any, ignore_subscribe_messages: bool = False) -> Any:
        if self._restoring and response and response[0] in (b"subscribe", b"unsubscribe"):
            self._restoring.discard(response[1])
            if not self._restoring:
                self._on_restored()
        parent: Any = super()  # the method is untyped
        return await parent.handle_message(response, ignore_subscribe_messages)


class PortalShard(RedisSingleShardConnection):
    def _ensure_redis(self) -> None:
        if self._redis is None:
            super()._ensure_redis()
            client: Any = self._redis
            self._pubsub = PortalPubSub(client.connection_pool, on_restored=self.channel_layer.announce_missed_events)

    async def subscribe(self, channel: str) -> None:
        try:
            await super().subscribe(channel)
        except BaseException:
            self._forget(channel)
            raise

    async def unsubscribe(self, channel: str) -> None:
        try:
            await super().unsubscribe(channel)
        except BaseException:
            self._forget(channel)
            raise

    def _forget(self, channel: str) -> None:
        """Drop a channel, so that it is not subscribed to again after a reconnection."""
        self._subscribed_to.discard(channel)
        if self._pubsub is not None:
            for name in (channel, channel.encode()):
                self._pubsub.channels.pop(name, None)
                self._pubsub.pending_unsubscribe_channels.discard(name)
