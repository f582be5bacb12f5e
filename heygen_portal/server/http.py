"""HTTP: what is too large is refused before it is read, and what is slow is cut off, in either direction."""

from __future__ import annotations

import asyncio
import io
import logging
from collections import Counter
from contextlib import suppress
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.internet.interfaces import IDelayedCall
from twisted.web.http import HTTPChannel

from heygen_portal.runtime import client_address
from heygen_portal.server import limits, refusals

logger = logging.getLogger(__name__)


class Channel(HTTPChannel):
    """One connection. Counts bytes and seconds of each request while it arrives."""

    totalHeadersSize = limits.HEADER_BYTES

    _is_refused = _is_closing = False
    _deadline: IDelayedCall | None = None
    _body_bytes = _wire_bytes = 0
    _discarded_bytes = 0
    _upload_network: str | None = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self._set_deadline(limits.CLIENT_TIMEOUT.total_seconds())

    def dataReceived(self, data: bytes) -> None:
        if self._is_refused:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > limits.MAX_BYTES_AFTER_REFUSAL:
                self.transport.pauseProducing()
            return
        if self._deadline is None and not self._handlingRequest:  # the next request on this connection begins
            self._set_deadline(limits.CLIENT_TIMEOUT.total_seconds())
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if self._is_refused:
            return
        if self._deadline is None:  # it had come before the last one was answered
            self._set_deadline(limits.CLIENT_TIMEOUT.total_seconds())
        if (
            self._receivedHeaderSize + len(line) > self.totalHeadersSize
            or self._receivedHeaderCount >= limits.HEADER_LINES
        ):
            self.refuse(refusals.headers_too_large())
            return
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(refusals.headers_too_large())

    def allHeadersReceived(self) -> None:
        limit = 0 if self._is_upgrade() else limits.body_bytes(self._path)
        if self.length is not None and self.length > limit:
            self._refuse_size(limit)
            return
        expected = limit if self.length is None else self.length
        if expected > limits.DEFAULT_BODY_BYTES:
            try:
                self._take_upload_slot()
            except refusals.TooManyUploads as exc:
                self.refuse(exc.answer(self._accept_language()))
                return
        self._body_bytes = self._wire_bytes = 0
        self._set_deadline(limits.upload_seconds(expected))
        super().allHeadersReceived()

    def rawDataReceived(self, data: bytes) -> None:
        if self._handlingRequest or self.length is not None:
            if not self._is_refused:
                super().rawDataReceived(data)
            return
        # Each chunk costs as much as a kilobyte: a body of tiny ones is refused after a few thousand.
        for start in range(0, len(data), limits.CHUNKS_PARSED_BYTES):
            if self._is_refused:
                return
            part = data[start : start + limits.CHUNKS_PARSED_BYTES]
            if not self._handlingRequest:
                if self._wire_bytes > 2 * self._body_bytes + limits.CHUNKS_PARSED_BYTES:
                    self._refuse_size(limits.body_bytes(self._path))
                    return
                self._wire_bytes += len(part)
            super().rawDataReceived(part)

    def allContentReceived(self) -> None:
        if self._is_refused:
            return
        self._clear_deadline()
        self._release_upload_slot()
        super().allContentReceived()

    def loseConnection(self) -> None:
        """Close once the client has read what was written, but do not wait for ever."""
        self._is_closing = True
        self._set_deadline(limits.transfer_seconds(limits.CHUNK_BYTES))
        super().loseConnection()

    def connectionLost(self, reason: Any) -> None:
        self._clear_deadline()
        self._release_upload_slot()
        super().connectionLost(reason)

    def accepts(self, data: bytes) -> bool:
        """Count a part of the current body; return False, and refuse the request, when it is one too many."""
        if self._is_refused:
            return False
        self._body_bytes += len(data)
        limit = limits.body_bytes(self._path)
        if self._body_bytes <= limit:
            return True
        self._refuse_size(limit)
        return False

    def refuse(self, answer: bytes) -> None:
        """Answer, discard what still comes, and close.

        Closed at once with unread data in the socket, the connection would be reset and the answer lost.
        """
        if self._is_refused:
            return
        self._is_refused = True
        self._release_upload_slot()
        self.setTimeout(None)
        self._set_deadline(limits.REFUSAL_TIMEOUT.total_seconds())
        self.transport.write(answer)
        with suppress(AttributeError):  # a transport that is no TCP socket
            self.transport.loseWriteConnection()

    def _take_upload_slot(self) -> None:
        """Count a large body that is about to be received. Raises TooManyUploads."""
        taken: Counter[str] = self.factory.large_bodies
        address = self._client_network()
        if taken[address] >= limits.MAX_LARGE_BODIES_PER_ADDRESS:
            raise refusals.TooManyUploads(is_own=True)
        if taken.total() >= limits.MAX_LARGE_BODIES:
            raise refusals.TooManyUploads(is_own=False)
        taken[address] += 1
        self._upload_network = address

    def _release_upload_slot(self) -> None:
        if self._upload_network is not None:
            taken: Counter[str] = self.factory.large_bodies
            taken[self._upload_network] -= 1
            if not taken[self._upload_network]:
                del taken[self._upload_network]
            self._upload_network = None

    def _client_network(self) -> str:
        """Return whom a large body counts against; all clients of a Unix socket without a proxy are one."""
        forwarded = self.requests[-1].requestHeaders.getRawHeaders(b"X-Forwarded-For") or []
        peer = getattr(self.transport.getPeer(), "host", "")
        return client_address.client_network(client_address.of_connection(forwarded, peer) or "")

    def _refuse_size(self, limit: int) -> None:
        self.refuse(refusals.too_large(limit, self._accept_language()))

    def _is_upgrade(self) -> bool:
        values = self.requests[-1].requestHeaders.getRawHeaders(b"Upgrade")
        return bool(values) and values[0].lower() == b"websocket"

    def _accept_language(self) -> str:
        values = self.requests[-1].requestHeaders.getRawHeaders(b"Accept-Language") if self.requests else None
        return values[0].decode("latin-1") if values else ""

    def _set_deadline(self, seconds: float) -> None:
        self._clear_deadline()
        self._deadline = self.factory.reactor.callLater(seconds, self._on_deadline)

    def _clear_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        if self._is_refused or self._is_closing:
            self.transport.abortConnection()
        elif self.requests:
            self.refuse(refusals.too_slow(self._accept_language()))
        else:  # connected, and said nothing
            self.loseConnection()


class Request(WebRequest):
    """One request. Its body is handed on piece by piece, and its answer waits until the client has read."""

    def __init__(self, channel: Channel, queued: Any = None) -> None:
        # Twisted would parse a form in memory, into a field that Daphne never reads.
        super().__init__(channel, bool(queued), parsePOSTFormSubmission=False)
        self.content: Any = None  # until the headers have come
        self.body: Any = io.BytesIO()
        self._is_writable = asyncio.Event()
        self._is_writable.set()

    def handleContentChunk(self, data: bytes) -> None:
        if self.channel.accepts(data):
            super().handleContentChunk(data)

    def process(self) -> Any:
        """Keep the body for `Inbox`: Daphne would put all of it into a queue at once."""
        # Daphne would take from it, and so from any client, how much of the path is left out.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        self.body = self.content
        self.content = io.BytesIO()
        self.body.seek(0)
        return super().process()

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and self.channel is not None and not self.producer:
            self.registerProducer(self, True)
        super().handle_reply(message)

    def finish(self) -> None:
        if self.producer:
            self.unregisterProducer()
        self._release()
        super().finish()

    def connectionLost(self, reason: Any) -> None:
        self.producer = None
        self._release()
        super().connectionLost(reason)

    # As the producer of its connection, it is told when to wait.

    def pauseProducing(self) -> None:
        self._is_writable.clear()

    def resumeProducing(self) -> None:
        self._is_writable.set()

    def stopProducing(self) -> None:
        self._is_writable.set()

    async def drain(self, size: int) -> None:
        """Wait until the client has read enough; cut it off when it reads too slowly."""
        if self._is_writable.is_set():
            return
        try:
            async with asyncio.timeout(limits.transfer_seconds(size)):
                await self._is_writable.wait()
        except TimeoutError:
            logger.warning("%s: a client that does not read was cut off", self.path.decode("ascii", "replace"))
            if self.channel is not None:
                self.channel.transport.abortConnection()

    def _release(self) -> None:
        self._is_writable.set()
        self.body.close()


class Factory(HTTPFactory):
    """Builds our channels instead of Twisted's. HTTP/1.1 only: HTTP/2 is the business of a proxy."""

    protocol = Channel

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.large_bodies: Counter[str] = Counter()
        self.timeOut = limits.IDLE_TIMEOUT.total_seconds()

    def buildProtocol(self, addr: Any) -> Any:
        channel = super().buildProtocol(addr)
        channel.requestFactory = Request
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]
