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

LARGEST_MESSAGE = 64 * 1024
"""Bytes."""
TOO_LARGE, TOO_MANY, TRY_LATER = 4413, 4429, 4503
"""Close codes: HTTP's numbers, in the range that applications may use."""
MOST_WAITING = 64
"""Messages of one tab that may be under way at once, in each lane."""
MOST_REFUSED = 1_000
"""Messages of one socket that are answered with an error before it is closed."""
LONGEST_REF = 64
ACCESS_CHECK_S = 20.0
"""How often each open socket's access is checked. A session whose tab was closed for it has 10 s more."""
ACCESS_CHECK_PARTS = 10
"""Checks are spread: each part of the sockets has its turn."""
LOSSES: Mapping[Loss, type[errors.AccessLost]] = {
    Loss.DEACTIVATED: errors.AccessEnded,
    Loss.ROLE: errors.AccessEnded,
    Loss.PERSONA: errors.AccessEnded,
    Loss.SIGNED_OUT: errors.SignedOut,
    Loss.SECOND_FACTOR: errors.SecondFactorNeeded,
}

A = TypeVar("A")
T = TypeVar("T")
Handler = Callable[[Any, dict[str, Any]], Coroutine[Any, Any, None]]


_open: set[PageSocket] = set()
"""The sockets of this process whose pages are there."""


async def _send_all_elsewhere() -> None:
    """Daphne cancels what serves a socket, but stumbles over a request that has just turned into one."""
    await asyncio.gather(*(socket.send_elsewhere() for socket in list(_open)))


_numbers = count()
_checking: asyncio.Task[None] | None = None


async def check_access(sockets: Collection[PageSocket]) -> None:
    """Close those of these sockets whose people may no longer have them."""
    claims = {socket: socket.claim for socket in sockets if socket.claim}
    lost = await in_thread(persona_access.losses)(set(claims.values()))
    closing = (socket.access_lost(lost[claim]) for socket, claim in claims.items() if claim in lost)
    for outcome in await asyncio.gather(*closing, return_exceptions=True):
        if isinstance(outcome, Exception):
            logger.error("a socket without access could not be closed", exc_info=outcome)


async def _check_for_ever() -> None:
    loop = asyncio.get_running_loop()
    turn_at = loop.time()
    for turn in count():
        turn_at = max(turn_at + ACCESS_CHECK_S / ACCESS_CHECK_PARTS, loop.time())
        await asyncio.sleep(turn_at - loop.time())
        due = [socket for socket in _open if socket.number % ACCESS_CHECK_PARTS == turn % ACCESS_CHECK_PARTS]
        try:
            if due:
                await check_access(due)
        except Exception:
            logger.exception("access could not be checked")  # the next turn may succeed


def _keep_checking() -> None:
    global _checking
    loop = asyncio.get_running_loop()
    if _checking is None or _checking.done() or _checking.get_loop() is not loop:
        _checking = loop.create_task(_check_for_ever(), name="access")


class PageSocket(AsyncWebsocketConsumer):
    """One socket of one page."""

    permission: str
    """What its person needs to have it."""
    is_for_staff = False

    # A closed table rather than getattr(): a browser cannot name a method of ours.
    HANDLERS: ClassVar[Mapping[str, Handler]]

    async def __call__(self, *args: Any) -> None:
        self.is_open = False
        self.waiting: Counter[str] = Counter()
        self.refused = 0
        self.claim: Claim | None = None
        self.number = next(_numbers)
        try:
            await super().__call__(*args)
        except RedisError:
            if self.is_open:
                raise  # the page opens another socket and joins again
            logger.exception("a tab could not be let in")
            await _explain(*args)
        except asyncio.CancelledError:
            await self.send_elsewhere()
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
            await self.close(code=TOO_MANY)  # the page tries again, each time a little later
            return False
        return True

    async def let_in(self) -> None:
        user: Any = self.scope["user"]
        login: Any = self.scope["session"]
        personas = self.personas()
        self.claim = Claim(login.session_key or "", user.pk, self.permission, self.is_for_staff, personas)
        await self.accept()
        self.is_open = True
        _keep_checking()
        background.before_shutdown(_send_all_elsewhere)
        _open.add(self)

    def personas(self) -> frozenset[int]:
        """Return the personas that the person must be allowed to talk with to have this socket."""
        return frozenset()

    async def leave(self) -> None:
        """This page is gone. Safe to repeat."""
        self.is_open = False
        _open.discard(self)

    async def send_elsewhere(self) -> None:
        """The server ends: the page is to go to another one. Safe to repeat."""
        if self.is_open:
            self.is_open = False
            await self.close(code=TRY_LATER)

    async def check_access(self) -> None:
        """Raises AccessLost, which closes the socket, when its person may no longer have it."""
        assert self.claim  # nothing is received before the page is let in
        if loss := (await in_thread(persona_access.losses)([self.claim])).get(self.claim):
            raise LOSSES[loss]({"loss": loss})

    async def access_lost(self, loss: Loss) -> None:
        """Say so, and close. Safe to repeat."""
        if not self.is_open:
            return
        error = LOSSES[loss]()
        await self.send_error(error)
        self.is_open = False
        await self.close(code=error.close_code)
        await self.leave()

    async def refuse(self, error: errors.SessionError, content: dict[str, Any] | None = None) -> None:
        """Answer a message with an error, so many times; then close the socket."""
        self.refused += 1
        try:
            if self.refused >= MOST_REFUSED:
                raise TooManyRequests("refused_message", 1)
            user: Any = self.scope["user"]
            address = client_address.of_socket(self.scope)
            await budgets.spend("refused_message", person=user.pk, address=address)
        except TooManyRequests:
            if self.is_open:
                self.is_open = False
                await self.close(code=TOO_MANY)
                await self.leave()
        else:
            await self.send_error(error, content)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.is_open:
            return  # sent before the page heard that its socket is closed
        if _size(text_data, bytes_data) > LARGEST_MESSAGE:
            await self.send_error(errors.TooLarge())
            await self.close(code=TOO_LARGE)
            return
        try:
            content = incoming.parse(text_data)
            handler = self.HANDLERS[content["type"]]
        except (errors.BadMessage, KeyError, TypeError):
            await self.refuse(errors.BadMessage())
            return
        lane = self.lane(content)
        if self.waiting[lane] >= MOST_WAITING:
            self.overflowed(lane)
            await self.refuse(errors.TooManyTasks(), content)
            return
        self.waiting[lane] += 1
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
            self.waiting[lane] -= 1

    async def send_error(self, error: errors.SessionError, content: dict[str, Any] | None = None) -> None:
        message = {"type": "error", "code": error.code, "words": self.words(str, error), **error.details}
        if content and isinstance(content.get("ref"), str):
            message["ref"] = content["ref"][:LONGEST_REF]
        await self.tell(message)

    def words(self, say: Callable[[A], T], thing: A) -> T:
        """Say something in this page's language."""
        with translation.override(_language(self.scope)):
            return say(thing)

    async def tell(self, message: dict[str, Any]) -> None:
        """Send to the page, if it is still there."""
        if self.is_open:
            await self.send(text_data=json.dumps(message))


async def _explain(scope: Any, receive: Any, send: Any) -> None:
    """Tell a page that we cannot serve it now; a refused handshake could not say why."""
    with translation.override(_language(scope)):
        message = {"type": "error", "code": errors.Unwell.code, "words": str(errors.Unwell.words)}
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(message)})
    await send({"type": "websocket.close", "code": TRY_LATER})


def _size(text: str | None, data: bytes | None) -> int:
    """Return the size of a message in bytes."""
    if text is None:
        return len(data or b"")
    return len(text) if len(text) > LARGEST_MESSAGE else len(text.encode("utf-8", "surrogatepass"))


def _language(scope: Any) -> str:
    asked = scope["query_string"].decode("ascii", "replace").removeprefix("lang=")
    return asked if asked in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
