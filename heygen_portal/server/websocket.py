"""WebSocket protocol with bounded buffers and a limit on control frames."""

from __future__ import annotations

import logging
import time
from typing import Any

from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from heygen_portal.server import limits, refusals

logger = logging.getLogger(__name__)


class Socket(WebSocketProtocol):
    _has_handshake = False
    _early = b""
    _unread_bytes: int | None = None
    _frames_left = float(limits.SOCKET_CONTROL_FRAMES)
    _frames_counted_at = 0.0

    def connectionMade(self) -> None:
        # Replace the HTTP channel as the producer, because it no longer handles the connection.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)
        super().connectionMade()

    def onConnect(self, request: Any) -> Any:
        self._has_handshake = True
        return super().onConnect(request)

    def dataReceived(self, data: bytes) -> None:
        # Autobahn would append early data to the handshake and parse it again.
        if self._has_handshake and self.state == self.STATE_CONNECTING:
            self._early += data
            if len(self._early) > limits.SOCKET_EARLY_BYTES:
                self.transport.abortConnection()
            return
        super().dataReceived(data)

    def onOpen(self) -> None:
        super().onOpen()
        early, self._early = self._early, b""
        if early:
            super().dataReceived(early)

    def sendData(self, data: bytes, *options: Any, **kwargs: Any) -> None:
        """Write a frame of any kind, and cut off a client that has too much unread data."""
        super().sendData(data, *options, **kwargs)
        if self._unread_bytes is None:
            return
        self._unread_bytes += len(data)
        if self._unread_bytes > limits.SOCKET_UNREAD_BYTES:
            self._unread_bytes = None
            logger.warning("cut off a page that does not read its socket")
            self.transport.abortConnection()

    def onFrameBegin(self) -> None:
        """Limit frames that start no message: pings, pongs and continuations."""
        if self.current_frame.opcode not in (self.MESSAGE_TYPE_TEXT, self.MESSAGE_TYPE_BINARY):
            self._count_control_frame()
        super().onFrameBegin()

    def _count_control_frame(self) -> None:
        now = time.monotonic()
        regained = (now - self._frames_counted_at) * limits.SOCKET_CONTROL_FRAMES_PER_SECOND
        self._frames_left = min(limits.SOCKET_CONTROL_FRAMES, self._frames_left + regained) - 1
        self._frames_counted_at = now
        if self._frames_left < 0 and self.state == self.STATE_OPEN:
            logger.warning("cut off a page that sends too many control frames")
            words = refusals.too_many_frames(limits.SOCKET_CONTROL_FRAMES_WAIT_S, self._raw_query_string)
            self._refuse(words, limits.TOO_MANY_FRAMES)
            self.transport.pauseProducing()
            self.transport.loseConnection()

    def _max_message_size_exceeded(self, *sizes: Any) -> None:
        """Refuse a message that is not read. Autobahn would close without a reason."""
        if self.state == self.STATE_OPEN:
            self._refuse(refusals.message_too_large(self._raw_query_string), limits.TOO_LARGE)

    def _refuse(self, message: bytes, code: int) -> None:
        """Send a last message and close the socket. What still arrives is dropped."""
        self.failedByMe = True
        self.sendMessage(message)
        self.sendClose(code=code)

    def _closeConnection(self, abort: bool = False) -> None:
        # Twisted does not close a connection whose producer is paused.
        self.transport.unregisterProducer()
        super()._closeConnection(abort)

    # As the producer of its connection, it is notified when the client stops reading.

    def pauseProducing(self) -> None:
        self._unread_bytes = 0

    def resumeProducing(self) -> None:
        self._unread_bytes = None

    def stopProducing(self) -> None:
        pass


class Factory(WebSocketFactory):
    protocol = Socket
