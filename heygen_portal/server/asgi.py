"""Daphne's server with the portal's protocols and bounded queues."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import daphne.server  # first, because it installs Twisted's reactor
from autobahn.exception import Disconnected
from django.conf import settings
from twisted.internet import defer

from heygen_portal.runtime import background, logs
from heygen_portal.server import http, limits, websocket

logger = logging.getLogger(__name__)

Message = dict[str, Any]


class RequestInbox(asyncio.Queue[Message]):
    """Receive queue of an HTTP request: body chunks from a file, then disconnection."""

    def __init__(self, request: http.Request) -> None:
        super().__init__()
        self._request = request
        self._has_body = True

    def put_nowait(self, item: Message) -> None:
        if item["type"] != "http.request":  # Daphne's own has an empty body: see http.Request.process
            super().put_nowait(item)

    async def get(self) -> Message:
        if self._has_body and not self._request.body.closed:
            chunk = self._request.body.read(limits.CHUNK_BYTES)
            self._has_body = len(chunk) == limits.CHUNK_BYTES
            return {"type": "http.request", "body": chunk, "more_body": self._has_body}
        return await super().get()


class SocketInbox(asyncio.Queue[Message]):
    """Receive queue of a WebSocket application.

    While it is full, the connection is not read.
    """

    def __init__(self, socket: websocket.Socket) -> None:
        super().__init__()
        self._socket = socket
        self._is_full = False

    def put_nowait(self, item: Message) -> None:
        super().put_nowait(item)
        if not self._is_full and self.qsize() >= limits.SOCKET_MESSAGES_QUEUED:
            self._is_full = True
            self._socket.transport.pauseProducing()

    async def get(self) -> Message:
        message = await super().get()
        if self._is_full and self.qsize() < limits.SOCKET_MESSAGES_QUEUED // 2:
            self._is_full = False
            self._socket.transport.resumeProducing()
        return message


class Server(daphne.server.Server):
    """Daphne's server with back-pressure: applications wait for slow clients."""

    def run(self) -> None:
        self.endpoints: list[str] = [_with_backlog(endpoint) for endpoint in self.endpoints]
        # Daphne looks its factories up under these names.
        daphne.server.HTTPFactory, daphne.server.WebSocketFactory = http.Factory, websocket.Factory
        if settings.LOG_FORMAT == "json":
            self.action_logger = logs.log_access
        reactor: Any = daphne.server.reactor  # the stubs declare a module; at run time it is an object
        reactor.callLater(0, background.start)  # in the event loop, which does not run yet
        super().run()

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> asyncio.Queue[Message] | None:
        """Start the application for a request or socket. Return its receive queue."""
        if protocol not in self.connections:
            return None
        scope.setdefault("asgi", {"version": "3.0"})
        inbox = RequestInbox(protocol) if scope["type"] == "http" else SocketInbox(protocol)
        running = self.application(scope=scope, receive=inbox.get, send=partial(self.handle_reply, protocol))
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(running)
        return inbox

    async def handle_reply(self, protocol: Any, message: Message) -> None:
        if message["type"] != "http.response.body":
            try:
                await super().handle_reply(protocol, message)
            except Disconnected as exc:
                raise ConnectionResetError("the client has gone") from exc  # as ASGI demands
            return
        body, has_more = message.get("body", b""), message.get("more_body", False)
        # Split, so that at most one chunk is buffered for a client that does not read.
        for start in range(0, len(body) or 1, limits.CHUNK_BYTES):
            chunk = body[start : start + limits.CHUNK_BYTES]
            is_last = start + limits.CHUNK_BYTES >= len(body)
            await super().handle_reply(protocol, message | {"body": chunk, "more_body": has_more or not is_last})
            await protocol.drain(len(chunk))

    def kill_all_applications(self) -> defer.Deferred[Any]:
        """Cancel all running applications before the process ends.

        Daphne's own method fails on a connection whose request has not arrived yet.
        """
        found = (details.get("application_instance") for details in self.connections.values())
        running = [application for application in found if application and not application.done()]
        for application in running:
            application.cancel()
        logger.info("Cancelled %d running applications", len(running))
        return defer.Deferred.fromFuture(asyncio.ensure_future(_end_loop(running)))


async def _end_loop(applications: list[asyncio.Task[None]]) -> None:
    await asyncio.gather(*applications, return_exceptions=True)
    await background.finish()  # the shutdown hooks run at the same time, and may wait for a provider's answer
    # As `asyncio.run` does, which Twisted's reactor replaces. Closes the connections to providers.
    await asyncio.get_running_loop().shutdown_asyncgens()


def _with_backlog(endpoint: str) -> str:
    """Return an endpoint description with a longer listen backlog than Twisted's 50."""
    is_plain = endpoint.startswith(("tcp:", "unix:")) and ":backlog=" not in endpoint
    return f"{endpoint}:backlog={limits.LISTEN_BACKLOG}" if is_plain else endpoint
