"""Daphne's server with our protocols, and the bounded way between them and the application."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import daphne.server  # first: it chooses Twisted's event loop
from twisted.internet import defer

from heygen_portal.server import http, limits, websocket

logger = logging.getLogger(__name__)

Message = dict[str, Any]


class RequestInbox(asyncio.Queue[Message]):
    """What an HTTP application receives: the body, read from its file a chunk at a time, then the disconnection."""

    def __init__(self, request: http.Request) -> None:
        super().__init__()
        self._request = request
        self._has_body = True

    def put_nowait(self, item: Message) -> None:
        if item["type"] != "http.request":  # Daphne's own, which is empty: see http.Request.process
            super().put_nowait(item)

    async def get(self) -> Message:
        if self._has_body and not self._request.body.closed:
            chunk = self._request.body.read(limits.CHUNK_BYTES)
            self._has_body = len(chunk) == limits.CHUNK_BYTES
            return {"type": "http.request", "body": chunk, "more_body": self._has_body}
        return await super().get()


class SocketInbox(asyncio.Queue[Message]):
    """What a WebSocket's application receives. While it is full, nothing is read from the connection."""

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
    """Daphne's server. An application waits until the client has read what it sent."""

    def run(self) -> None:
        self.endpoints: list[str] = [_with_backlog(endpoint) for endpoint in self.endpoints]
        # By these names Daphne's own builds its protocols.
        daphne.server.HTTPFactory, daphne.server.WebSocketFactory = http.Factory, websocket.Factory
        super().run()

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> asyncio.Queue[Message] | None:
        """Start the application for a request or socket; return the queue that it receives from."""
        if protocol not in self.connections:
            return None
        scope.setdefault("asgi", {"version": "3.0"})
        inbox = RequestInbox(protocol) if scope["type"] == "http" else SocketInbox(protocol)
        running = self.application(scope=scope, receive=inbox.get, send=partial(self.handle_reply, protocol))
        self.connections[protocol]["application_instance"] = asyncio.ensure_future(running)
        return inbox

    async def handle_reply(self, protocol: Any, message: Message) -> None:
        if message["type"] != "http.response.body":
            await super().handle_reply(protocol, message)
            return
        body, has_more = message.get("body", b""), message.get("more_body", False)
        # Cut up, so that no more than a chunk of it waits for a client that does not read.
        for start in range(0, len(body) or 1, limits.CHUNK_BYTES):
            chunk = body[start : start + limits.CHUNK_BYTES]
            is_last = start + limits.CHUNK_BYTES >= len(body)
            await super().handle_reply(protocol, message | {"body": chunk, "more_body": has_more or not is_last})
            await protocol.drain(len(chunk))

    def kill_all_applications(self) -> defer.Deferred[Any]:
        """Cancel what serves requests and sockets before the process ends.

        Daphne's own fails at a connection whose request has not arrived yet.
        """
        found = (details.get("application_instance") for details in self.connections.values())
        running = [application for application in found if application and not application.done()]
        for application in running:
            application.cancel()
        logger.info("Cancelled %d running applications", len(running))
        return defer.Deferred.fromFuture(asyncio.gather(*running, return_exceptions=True))


def _with_backlog(endpoint: str) -> str:
    """Return the description of a TCP endpoint with room for more connections than Twisted's 50."""
    is_plain = endpoint.startswith(("tcp:", "unix:")) and ":backlog=" not in endpoint
    return f"{endpoint}:backlog={limits.LISTEN_BACKLOG}" if is_plain else endpoint
