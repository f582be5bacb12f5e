"""HTTP protocol that refuses oversized requests early and cuts off slow clients."""

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
    """One connection. Limits the size and duration of each request while it arrives."""

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
        if self._deadline is None and not self._handlingRequest:  # the next request on this connection starts
            self._set_deadline(limits.CLIENT_TIMEOUT.total_seconds())
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if self._is_refused:
            return
        if self._deadline is None:  # a pipelined request
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
        # Limit the framing overhead: a body of tiny chunks is refused.
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
        """Close once the client has read everything, or after a timeout."""
        self._is_closing = True
        self._set_deadline(limits.transfer_seconds(limits.CHUNK_BYTES))
        super().loseConnection()

    def connectionLost(self, reason: Any) -> None:
        self._clear_deadline()
        self._release_upload_slot()
        super().connectionLost(reason)

    def accepts(self, data: bytes) -> bool:
        """Count a part of the body.

        Refuse the request and return False if the body is too large.
        """
        if self._is_refused:
            return False
        self._body_bytes += len(data)
        limit = limits.body_bytes(self._path)
        if self._body_bytes <= limit:
            return True
        self._refuse_size(limit)
        return False

    def refuse(self, answer: bytes) -> None:
        """Send a response, discard further data, and close.

        Closing immediately with unread data would reset the connection and lose the response.
        """
        if self._is_refused:
            return
        self._is_refused = True
        self._release_upload_slot()
        self.setTimeout(None)
        self._set_deadline(limits.REFUSAL_TIMEOUT.total_seconds())
        self.transport.write(answer)
        with suppress(AttributeError):  # not a TCP transport
            self.transport.loseWriteConnection()

    def _take_upload_slot(self) -> None:
        """Take a slot for receiving a large body. Raises TooManyUploads."""
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
        """Return the network that a large body counts for.

        Unix-socket clients without a proxy share one.
        """
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
        else:  # connected but sent nothing
            self.loseConnection()


class Request(WebRequest):
    """One request.

    Its body is passed on in chunks; its response waits for the client to read.
    """

    def __init__(self, channel: Channel, queued: Any = None) -> None:
        # Otherwise Twisted parses forms in memory, into a field that Daphne never reads.
        super().__init__(channel, bool(queued), parsePOSTFormSubmission=False)
        self.content: Any = None  # until the headers have arrived
        self.body: Any = io.BytesIO()
        self._is_writable = asyncio.Event()
        self._is_writable.set()

    def handleContentChunk(self, data: bytes) -> None:
        if self.channel.accepts(data):
            super().handleContentChunk(data)

    def process(self) -> Any:
        """Keep the body for RequestInbox; Daphne would queue all of it at once."""
        # Daphne would let this header, and so any client, set the root path.
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

    # As the producer of its connection, it is notified when to pause.

    def pauseProducing(self) -> None:
        self._is_writable.clear()

    def resumeProducing(self) -> None:
        self._is_writable.set()

    def stopProducing(self) -> None:
        self._is_writable.set()

    async def drain(self, size: int) -> None:
        """Wait until the client has read enough. Cut it off if it is too slow."""
        if self._is_writable.is_set():
            return
        try:
            async with asyncio.timeout(limits.transfer_seconds(size)):
                await self._is_writable.wait()
        except TimeoutError:
            logger.warning("%s: cut off a client that reads too slowly", self.path.decode("ascii", "replace"))
            if self.channel is not None:
                self.channel.transport.abortConnection()

    def _release(self) -> None:
        self._is_writable.set()
        self.body.close()


class Factory(HTTPFactory):
    """Builds the portal's channels. HTTP/1.1 only; a proxy can provide HTTP/2."""

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
