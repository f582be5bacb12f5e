"""Base class of the WebSocket consumers.

It dispatches and limits messages, checks access, and sends errors. A subclass lists its message handlers in `HANDLERS`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping
from itertools import count
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import InterfaceError, OperationalError
from django.utils import timezone, translation
from redis.exceptions import RedisError

from heygen_portal.people.access.live_access import Claim, Loss
from heygen_portal.people.preferences import time_zones
from heygen_portal.runtime import background, budgets, client_address, logs, metrics, tracing
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.text import catalogues
from sessions import errors
from sessions.capacity import persona_access
from sessions.capacity.guests import GuestClaim
from sessions.models import OwnerId
from sessions.web import incoming

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024
# Close codes: an HTTP status plus 4000, the range that applications may use.
CLOSE_TOO_LARGE, CLOSE_TOO_MANY, CLOSE_TRY_LATER = 4413, 4429, 4503
# Messages of one tab that may be handled at the same time, in each lane.
MESSAGES_PENDING_PER_LANE = 64
# Messages of one socket that are answered with an error before the socket is closed.
REFUSALS_PER_SOCKET = 1_000
# When its page may open another one.
REFUSALS_WAIT_S = 10
# The value of `about` in an error that closes a socket before any of its messages was handled.
AT_THE_DOOR = "connect"
MAX_REF_LENGTH = 64
# A page's reference of a text. It is stored in clear text, so it has no room for one.
REF = re.compile(rf"[A-Za-z0-9_-]{{0,{MAX_REF_LENGTH}}}")
# Interval between access checks of one open socket. A session whose tab was closed then has 10 s more.
ACCESS_CHECK_S = 20.0
# The checks are spread over the interval: each round checks one of this many parts of the sockets.
ACCESS_CHECK_PARTS = 10
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


# The open sockets of this process.
_open_sockets: set[PageSocket] = set()
metrics.sockets.set_function(lambda: len(_open_sockets))


async def _close_all_for_shutdown() -> None:
    """Close every open socket.

    Daphne cannot cancel a request that has just become a socket.
    """
    await asyncio.gather(*(socket.close_for_shutdown() for socket in list(_open_sockets)))


_socket_numbers = count()
_access_checks: asyncio.Task[None] | None = None


async def check_access(sockets: Collection[PageSocket]) -> None:
    """Close the sockets whose users have lost access."""
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
            logger.exception("access could not be checked")  # the next round may succeed


def _ensure_access_checks() -> None:
    global _access_checks
    loop = asyncio.get_running_loop()
    if _access_checks is None or _access_checks.done() or _access_checks.get_loop() is not loop:
        _access_checks = loop.create_task(_check_access_forever(), name="access")


class PageSocket(AsyncWebsocketConsumer):
    """One socket of one page."""

    # The permission that the user needs.
    permission: str
    is_for_staff = False
    session_id: UUID | None = None
    # One that the page offered, for a page that signs in by it.
    subprotocol: str | None = None
    # How the page is told why it lost access.
    ACCESS_ERRORS: ClassVar[Mapping[Loss, type[errors.AccessLost]]] = ACCESS_ERRORS

    # An explicit table instead of getattr(): a browser must not be able to name methods.
    HANDLERS: ClassVar[Mapping[str, Handler]]
    # Without these messages a socket is of no use. If one fails, the page has to open another socket.
    NEEDED: ClassVar[frozenset[str]] = frozenset()

    async def __call__(self, *args: Any) -> None:
        self.is_open = False
        self.is_handed_over = False
        self.pending: Counter[str] = Counter()
        self.refusal_count = 0
        self.claim: Claim | GuestClaim | None = None
        self.number = next(_socket_numbers)
        try:
            with logs.bound(request=logs.new_request_id()):
                await super().__call__(*args)
        except RedisError:
            if self.is_open:
                raise  # the page opens another socket and joins again
            logger.exception("a page's socket could not be opened")
            await _send_unavailable(self.subprotocol, *args)
        except asyncio.CancelledError:
            await self.close_for_shutdown()
            raise
        finally:
            await self.leave()  # Channels does not call `disconnect` after a Redis error

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Call the handler of a channel layer message.

        Unlike Channels' method, do not clean up database connections, which takes a thread for every message:
        the database is only used through `in_thread`, which does that.
        """
        await getattr(self, get_handler_name(message))(message)

    @property
    def person(self) -> OwnerId | None:
        """Whom budgets count: the user or guest; None for an anonymous user."""
        user: Any = self.scope["user"]
        pk: int | None = user.pk
        return pk

    async def may_connect(self) -> bool:
        """Charge the person's budget for sockets.

        If it is used up, accept the socket only to say so, close it and return False.
        """
        try:
            await budgets.spend("connect", person=self.person, address=client_address.of_socket(self.scope))
        except TooManyRequests as exc:
            await self.accept(self.subprotocol)  # a refused handshake could not say when to retry
            self.is_open = True
            await self.close_for_now(exc.wait_seconds, AT_THE_DOOR)
            return False
        return True

    async def close_for_now(self, wait_seconds: int, about: str) -> None:
        """Tell the page how long to wait, and close the socket. Idempotent."""
        if self.is_open:
            await self.send_error(errors.TooManyRequests(wait_seconds, about))
            self.is_open = False
            await self.close(code=CLOSE_TOO_MANY)
            await self.leave()

    async def open_for_page(self) -> None:
        """Accept the socket and check its access from now on."""
        self.claim = self.make_claim()
        await self.accept(self.subprotocol)
        self.is_open = True
        _ensure_access_checks()
        background.on_shutdown(_close_all_for_shutdown)
        _open_sockets.add(self)

    def make_claim(self) -> Claim | GuestClaim:
        """Return what the open socket depends on."""
        user: Any = self.scope["user"]
        login: Any = self.scope["session"]
        return Claim(login.session_key or "", user.pk, self.permission, self.is_for_staff, self.personas())

    def personas(self) -> frozenset[int]:
        """Return the IDs of the personas that the user must be allowed to talk with."""
        return frozenset()

    async def leave(self) -> None:
        """Record that the page is gone. Idempotent."""
        self.is_open = False
        _open_sockets.discard(self)

    async def close_for_shutdown(self) -> None:
        """Close the socket because the server is shutting down.

        The page reconnects to another one. Idempotent.
        """
        if self.is_open:
            self.is_open = False
            self.is_handed_over = True
            await self.close(code=CLOSE_TRY_LATER)

    async def check_access(self) -> None:
        """Raise AccessLost, which closes the socket, if the user has lost access."""
        await in_thread(self.require_access)()

    def require_access(self) -> None:
        """Do what `check_access` does, in a thread for the database."""
        assert self.claim  # messages arrive only after `open_for_page`
        if loss := persona_access.loss(self.claim):
            raise self.ACCESS_ERRORS[loss]({"loss": loss})

    async def access_lost(self, loss: Loss) -> None:
        """Tell the page why it lost access, and close the socket. Idempotent."""
        if not self.is_open:
            return
        error = self.ACCESS_ERRORS[loss]()
        await self.send_error(error)
        self.is_open = False
        await self.close(code=error.close_code)
        await self.leave()

    async def refuse(self, error: errors.SessionError, content: dict[str, Any] | None = None) -> None:
        """Answer a message with an error. Close the socket if it has caused too many."""
        self.refusal_count += 1
        try:
            if self.refusal_count >= REFUSALS_PER_SOCKET:
                raise TooManyRequests("refused_message", REFUSALS_WAIT_S)
            address = client_address.of_socket(self.scope)
            await budgets.spend("refused_message", person=self.person, address=address)
        except TooManyRequests as exc:
            about = str((content or {}).get("type", ""))[:MAX_REF_LENGTH]
            await self.close_for_now(exc.wait_seconds, about)
        else:
            await self.send_error(error, content)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.is_open:
            return  # sent before the page learned that its socket is closed
        if _message_size(text_data, bytes_data) > MAX_MESSAGE_BYTES:
            await self.send_error(errors.TooLarge())
            await self.close(code=CLOSE_TOO_LARGE)
            return
        content: dict[str, Any] | None = None
        try:
            content = incoming.parse(text_data)
            incoming.check_storable(content)
            handler = self.HANDLERS[content["type"]]
        except (errors.BadMessage, KeyError, TypeError):
            await self.refuse(errors.BadMessage(), content)  # with its `ref`, so that the page knows which text failed
            return
        lane = self.lane(content)
        if self.pending[lane] >= MESSAGES_PENDING_PER_LANE:
            self.overflowed(lane)
            await self.refuse(errors.TooManyTasks(), content)
            return
        self.pending[lane] += 1
        # Not awaited: the tab still receives events while a provider is slow to answer.
        background.spawn(self.handle(handler(self, content), content, lane))

    def lane(self, content: dict[str, Any]) -> str:
        """Return the message's lane. Pending messages of another lane do not delay it."""
        return ""

    def overflowed(self, lane: str) -> None:
        """Called when a message is refused because its lane is full."""

    async def handle(self, work: Coroutine[Any, Any, None], content: dict[str, Any], lane: str) -> None:
        """Handle one message, and send an error to the page if that fails."""
        try:
            with logs.bound(session=self.session_id), tracing.span(content["type"]):
                await work
        except errors.AccessLost as exc:
            await self.access_lost(exc.details["loss"])
        except errors.SessionError as exc:
            await self.refuse(exc, content)
        except TooManyRequests as exc:
            await self.refuse(errors.TooManyRequests(exc.wait_seconds, str(content["type"])), content)
            await self.close_if_useless(content, CLOSE_TOO_MANY)
        except (OperationalError, InterfaceError):
            logger.exception("%s failed, because the database does not answer", content["type"])
            await self.refuse(errors.StorageAway(), content)
            await self.close_if_useless(content, CLOSE_TRY_LATER)
        except Exception:
            # The session's row has a deadline, so the worker takes care of it.
            logger.exception("%s failed", content["type"])
            await self.send_error(errors.Internal(), content)
            await self.close_if_useless(content, CLOSE_TRY_LATER)
        finally:
            self.pending[lane] -= 1

    async def close_if_useless(self, content: dict[str, Any], code: int) -> None:
        """Close the socket if the message that failed is one of `NEEDED`. The page tries again with back-off."""
        if content["type"] in self.NEEDED and self.is_open:
            self.is_open = False
            await self.close(code=code)
            await self.leave()

    async def send_error(self, error: errors.SessionError, content: dict[str, Any] | None = None) -> None:
        message = {"type": "error", "code": error.code, "words": self.localized(str, error), **error.details}
        if content and isinstance(content.get("ref"), str):
            message["ref"] = content["ref"][:MAX_REF_LENGTH]
        await self.send_json(message)

    def localized(self, describe: Callable[[A], T], value: A) -> T:
        """Return `describe(value)` in the page's language and time zone."""
        zone = time_zones.reported(self.scope["cookies"])
        with translation.override(catalogues.socket_language(self.scope["query_string"])), timezone.override(zone):
            return describe(value)

    async def send_json(self, message: dict[str, Any]) -> None:
        """Send a message to the page if the socket is still open."""
        if self.is_open:
            try:
                await self.send(text_data=json.dumps(message))
            except ConnectionError:
                self.is_open = False  # `disconnect` follows


async def _send_unavailable(subprotocol: str | None, scope: Any, receive: Any, send: Any) -> None:
    """Accept the socket, send the error `unwell` and close.

    A refused handshake could not give the reason.
    """
    with translation.override(catalogues.socket_language(scope["query_string"])):
        message = {"type": "error", "code": errors.PortalUnavailable.code, "words": str(errors.PortalUnavailable.words)}
    await send({"type": "websocket.accept", "subprotocol": subprotocol})
    await send({"type": "websocket.send", "text": json.dumps(message)})
    await send({"type": "websocket.close", "code": CLOSE_TRY_LATER})


def _message_size(text: str | None, data: bytes | None) -> int:
    """Return the size of a message in bytes."""
    if text is None:
        return len(data or b"")
    return len(text) if len(text) > MAX_MESSAGE_BYTES else len(text.encode("utf-8", "surrogatepass"))
