"""A page's socket: messages in through a closed table, as many as it bears, and refusals out in the page's language.

What the messages mean is `consumers`' business.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping
from itertools import count
from typing import Any, ClassVar, TypeVar

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.utils import translation
from redis.exceptions import RedisError

from heygen_portal.people.access.live_access import Claim, Loss
from heygen_portal.runtime import background, budgets, client_address
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.capacity import persona_access
from sessions.web import incoming

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024
"""Bytes."""
CLOSE_TOO_LARGE, CLOSE_TOO_MANY, CLOSE_TRY_LATER = 4413, 4429, 4503
"""Close codes: HTTP's numbers, in the range that applications may use."""
MESSAGES_PENDING_PER_LANE = 64
"""Messages of one tab that may be under way at once, in each lane."""
REFUSALS_PER_SOCKET = 1_000
"""Messages of one socket that are answered with an error before it is closed."""
MAX_REF_LENGTH = 64
ACCESS_CHECK_S = 20.0
"""How often each open socket's access is checked. A session whose tab was closed for it has 10 s more."""
ACCESS_CHECK_PARTS = 10
"""Checks are spread: each part of the sockets has its turn."""
ACCESS_ERRORS: Mapping[Loss, type[errors.AccessLost]] = {
    Loss.DEACTIVATED: errors.AccessEnded,
    Loss.ROLE: errors.AccessEnded,
    Loss.PERSONA: errors.AccessEnded,
    Loss.SIGNED_OUT: errors.SignedOut,
    Loss.SECOND_FACTOR: errors.SecondFactorNeeded,
}

A = TypeVar("A")
T = TypeVar("T")
Handler = Callable[[Any, dict[str, Any]], Coroutine[Any, Any, None]]


_open_sockets: set[PageSocket] = set()
"""The sockets of this process whose pages are there."""


async def _close_all_for_shutdown() -> None:
    """Daphne cancels what serves a socket, but stumbles over a request that has just turned into one."""
    await asyncio.gather(*(socket.close_for_shutdown() for socket in list(_open_sockets)))


_socket_numbers = count()
_access_checks: asyncio.Task[None] | None = None


async def check_access(sockets: Collection[PageSocket]) -> None:
    """Close those of these sockets whose people may no longer have them."""
    claims = {socket: socket.claim for socket in sockets if socket.claim}
    lost = await in_thread(persona_access.losses)(set(claims.values()))
    closing = (socket.access_lost(lost[claim]) for socket, claim in claims.items() if claim in lost)
    for outcome in await asyncio.gather(*closing, return_exceptions=True):
        if isinstance(outcome, Exception):
            logger.error("a socket without access could not be closed", exc_info=outcome)


async def _check_access_forever() -> None:
    loop = asyncio.get_running_loop()
    round_at = loop.time()
    for round_number in count():
        round_at = max(round_at + ACCESS_CHECK_S / ACCESS_CHECK_PARTS, loop.time())
        await asyncio.sleep(round_at - loop.time())
        part = round_number % ACCESS_CHECK_PARTS
        due = [socket for socket in _open_sockets if socket.number % ACCESS_CHECK_PARTS == part]
        try:
            if due:
                await check_access(due)
        except Exception:
            logger.exception("access could not be checked")  # the next turn may succeed


def _ensure_access_checks() -> None:
    global _access_checks
    loop = asyncio.get_running_loop()
    if _access_checks is None or _access_checks.done() or _access_checks.get_loop() is not loop:
        _access_checks = loop.create_task(_check_access_forever(), name="access")


class PageSocket(AsyncWebsocketConsumer):
    """One socket of one page."""

    permission: str
    """What its person needs to have it."""
    is_for_staff = False

    # A closed table rather than getattr(): a browser cannot name a method of ours.
    HANDLERS: ClassVar[Mapping[str, Handler]]

    async def __call__(self, *args: Any) -> None:
        self.is_open = False
        self.pending: Counter[str] = Counter()
        self.refusal_count = 0
        self.claim: Claim | None = None
        self.number = next(_socket_numbers)
        try:
            await super().__call__(*args)
        except RedisError:
            if self.is_open:
                raise  # the page opens another socket and joins again
            logger.exception("a page's socket could not be opened")
            await _send_unavailable(*args)
        except asyncio.CancelledError:
            await self.close_for_shutdown()
            raise
        finally:
            await self.leave()  # where Redis breaks, nobody calls `disconnect`

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Do what Channels' own does, but for its look after database connections: a thread for every message.

        Here the database is touched through `in_thread` alone, which looks after them.
        """
        await getattr(self, get_handler_name(message))(message)

    async def may_connect(self) -> bool:
        """Count the socket against its person's budget; close it when there are too many."""
        user: Any = self.scope["user"]
        try:
            await budgets.spend("connect", person=user.pk, address=client_address.of_socket(self.scope))
        except TooManyRequests:
            await self.close(code=CLOSE_TOO_MANY)  # the page tries again, each time a little later
            return False
        return True

    async def open_for_page(self) -> None:
        user: Any = self.scope["user"]
        login: Any = self.scope["session"]
        personas = self.personas()
        self.claim = Claim(login.session_key or "", user.pk, self.permission, self.is_for_staff, personas)
        await self.accept()
        self.is_open = True
        _ensure_access_checks()
        background.before_shutdown(_close_all_for_shutdown)
        _open_sockets.add(self)

    def personas(self) -> frozenset[int]:
        """Return the personas that the person must be allowed to talk with to have this socket."""
        return frozenset()

    async def leave(self) -> None:
        """This page is gone. Safe to repeat."""
        self.is_open = False
        _open_sockets.discard(self)

    async def close_for_shutdown(self) -> None:
        """The server ends: the page is to go to another one. Safe to repeat."""
        if self.is_open:
            self.is_open = False
            await self.close(code=CLOSE_TRY_LATER)

    async def check_access(self) -> None:
        """Raises AccessLost, which closes the socket, when its person may no longer have it."""
        assert self.claim  # nothing is received before the page is let in
        if loss := (await in_thread(persona_access.losses)([self.claim])).get(self.claim):
            raise ACCESS_ERRORS[loss]({"loss": loss})

    async def access_lost(self, loss: Loss) -> None:
        """Say so, and close. Safe to repeat."""
        if not self.is_open:
            return
        error = ACCESS_ERRORS[loss]()
        await self.send_error(error)
        self.is_open = False
        await self.close(code=error.close_code)
        await self.leave()

    async def refuse(self, error: errors.SessionError, content: dict[str, Any] | None = None) -> None:
        """Answer a message with an error, so many times; then close the socket."""
        self.refusal_count += 1
        try:
            if self.refusal_count >= REFUSALS_PER_SOCKET:
                raise TooManyRequests("refused_message", 1)
            user: Any = self.scope["user"]
            address = client_address.of_socket(self.scope)
            await budgets.spend("refused_message", person=user.pk, address=address)
        except TooManyRequests:
            if self.is_open:
                self.is_open = False
                await self.close(code=CLOSE_TOO_MANY)
                await self.leave()
        else:
            await self.send_error(error, content)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.is_open:
            return  # sent before the page heard that its socket is closed
        if _message_size(text_data, bytes_data) > MAX_MESSAGE_BYTES:
            await self.send_error(errors.TooLarge())
            await self.close(code=CLOSE_TOO_LARGE)
            return
        try:
            content = incoming.parse(text_data)
            handler = self.HANDLERS[content["type"]]
        except (errors.BadMessage, KeyError, TypeError):
            await self.refuse(errors.BadMessage())
            return
        lane = self.lane(content)
        if self.pending[lane] >= MESSAGES_PENDING_PER_LANE:
            self.overflowed(lane)
            await self.refuse(errors.TooManyTasks(), content)
            return
        self.pending[lane] += 1
        # Not awaited: while a provider thinks, this tab is still told what happens.
        background.keep(self.handle(handler(self, content), content, lane))

    def lane(self, content: dict[str, Any]) -> str:
        """Return the lane that a message waits in: messages of another lane do not hold it up."""
        return ""

    def overflowed(self, lane: str) -> None:
        """A message was refused because its lane is full."""

    async def handle(self, work: Coroutine[Any, Any, None], content: dict[str, Any], lane: str) -> None:
        """Do one message's work; every refusal leaves by this door."""
        try:
            await work
        except errors.AccessLost as exc:
            await self.access_lost(exc.details["loss"])
        except errors.SessionError as exc:
            await self.refuse(exc, content)
        except TooManyRequests as exc:
            await self.refuse(errors.TooManyRequests(exc.wait_seconds, str(content["type"])), content)
        except Exception:
            # Whatever it was, the session has a deadline on its row and the worker looks after it.
            logger.exception("%s failed", content["type"])
            await self.send_error(errors.Internal(), content)
        finally:
            self.pending[lane] -= 1

    async def send_error(self, error: errors.SessionError, content: dict[str, Any] | None = None) -> None:
        message = {"type": "error", "code": error.code, "words": self.localized(str, error), **error.details}
        if content and isinstance(content.get("ref"), str):
            message["ref"] = content["ref"][:MAX_REF_LENGTH]
        await self.send_json(message)

    def localized(self, describe: Callable[[A], T], value: A) -> T:
        """Say something in this page's language."""
        with translation.override(_language(self.scope)):
            return describe(value)

    async def send_json(self, message: dict[str, Any]) -> None:
        """Send to the page, if it is still there."""
        if self.is_open:
            await self.send(text_data=json.dumps(message))


async def _send_unavailable(scope: Any, receive: Any, send: Any) -> None:
    """Tell a page that we cannot serve it now; a refused handshake could not say why."""
    with translation.override(_language(scope)):
        message = {"type": "error", "code": errors.PortalUnavailable.code, "words": str(errors.PortalUnavailable.words)}
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(message)})
    await send({"type": "websocket.close", "code": CLOSE_TRY_LATER})


def _message_size(text: str | None, data: bytes | None) -> int:
    """Return the size of a message in bytes."""
    if text is None:
        return len(data or b"")
    return len(text) if len(text) > MAX_MESSAGE_BYTES else len(text.encode("utf-8", "surrogatepass"))


def _language(scope: Any) -> str:
    language = scope["query_string"].decode("ascii", "replace").removeprefix("lang=")
    return language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
