"""Base of the session WebSockets: ordered sending, and receiving until either side ends."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSMessage, WSMsgType, web

from heygen_portal.emulator.sessions.runner import SessionService
from heygen_portal.emulator.sessions.store import Session

MAX_MESSAGE_BYTES: Final = 2 * 1024 * 1024  # the documented limit is 1 MB; a second of audio is 64 kB in base64
MAX_QUEUED_MESSAGES: Final = 1000

Message = dict[str, Any]


class SessionSocket:
    """A client's WebSocket on a session.

    `send` never blocks; a client that does not read loses the oldest messages.
    """

    def __init__(self, request: web.Request, service: SessionService, session: Session) -> None:
        self.service = service
        self.session = session
        self._request = request
        self._ws = web.WebSocketResponse(max_msg_size=MAX_MESSAGE_BYTES)
        self._waiting: asyncio.Queue[Message | None] = asyncio.Queue()

    def send(self, message: Message) -> None:
        if self._waiting.qsize() >= MAX_QUEUED_MESSAGES:
            self._waiting.get_nowait()
        self._waiting.put_nowait(message)

    def close(self) -> None:
        """Close after the queued messages are sent."""
        self._waiting.put_nowait(None)

    async def serve(
        self, on_message: Callable[[WSMessage], None], on_event: Callable[[Message], None], idle_s: float | None = None
    ) -> web.WebSocketResponse:
        """Serve until the client or session ends, or nothing arrives for `idle_s`.

        `on_message` receives the client's messages, text or binary; `on_event` the session's events.
        """
        leave = self.service.subscribe(self.session, on_event)  # before the handshake, so that no event is missed
        try:
            await self._ws.prepare(self._request)
        except BaseException:
            leave()
            raise
        writer = asyncio.create_task(self._write())
        try:
            while True:
                message = await self._ws.receive(timeout=idle_s)
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                on_message(message)
        except TimeoutError:
            pass
        finally:
            leave()
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
        await self._ws.close()
        return self._ws

    async def _write(self) -> None:
        with suppress(ConnectionError):
            while (message := await self._waiting.get()) is not None:
                await self._ws.send_str(json.dumps(message))
            await self._ws.close()
