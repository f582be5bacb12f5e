"""Background tasks that outlive the request or socket that started them, and messages that nobody waits for."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

Send = Callable[[], Awaitable[None]]

SEND_TIMEOUT_S = 3.0
MAX_UNSENT = 10_000
"""Messages that one event loop keeps while Redis is away, about 2 KB each. The oldest are dropped."""
RETRY_AFTER_S = (0.25, 0.5, 1.0, 2.0)
LAST_SENDS_S = 2.0
"""How long a loop that ends waits for its remaining messages."""
FINISH_TIMEOUT = timedelta(seconds=8)
"""Supervisors send SIGKILL ten seconds after SIGTERM."""
_running: set[asyncio.Future[Any]] = set()
_startup_hooks: list[Callable[[], None]] = []
_shutdown_hooks: set[Callable[[], Coroutine[Any, Any, None]]] = set()


def spawn(work: Coroutine[Any, Any, None] | asyncio.Future[None]) -> asyncio.Future[None]:
    """Run a coroutine in the background.

    Keep a reference, because the event loop holds only a weak one.
    """
    task = asyncio.ensure_future(work)
    keep(task)
    return task


def keep(task: asyncio.Future[Any]) -> None:
    """Keep a reference to a task until it is done, and let `finish` wait for it."""
    _running.add(task)
    task.add_done_callback(_running.discard)


class _Outbox:
    """The messages of one event loop, sent in order by one task.

    Whoever puts a message in does not wait, so a Redis that does not answer delays no stop at a provider. A message
    that Redis did not take is sent again, so an outage loses none.
    """

    def __init__(self) -> None:
        self._unsent: deque[Send] = deque()
        self._sending: asyncio.Future[None] | None = None
        self._at_end = self._send_rest_at_end()
        with suppress(StopIteration):  # its first step, which makes the loop know it, waits for nothing
            anext(self._at_end).send(None)

    def put(self, send: Send) -> None:
        if len(self._unsent) >= MAX_UNSENT:
            self._unsent.popleft()
            logger.error("%s messages wait for Redis, the oldest was dropped", MAX_UNSENT)
        self._unsent.append(send)
        if self._sending is None or self._sending.done():
            self._sending = spawn(self._send_all())

    async def _send_all(self) -> None:
        failures = 0
        while self._unsent:
            send = self._unsent[0]
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await send()
            except (RedisError, OSError) as exc:  # TimeoutError is an OSError
                if not failures:
                    logger.warning("Redis did not take a message, it will be sent again: %s", type(exc).__name__)
                await asyncio.sleep(RETRY_AFTER_S[min(failures, len(RETRY_AFTER_S) - 1)] * random.uniform(1, 1.5))
                failures += 1
                continue
            except Exception:
                logger.exception("a message could not be sent")
            if failures:
                logger.info("Redis takes messages again")
            failures = 0
            if self._unsent and self._unsent[0] is send:  # otherwise it was dropped meanwhile
                self._unsent.popleft()

    async def _send_rest_at_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            del _outboxes[asyncio.get_running_loop()]
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SENDS_S):
                    await self._send_all()


_outboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Outbox] = WeakKeyDictionary()


def send_soon(send: Send) -> None:
    """Send a message to browsers after those that wait already. Call it in the event loop that sends.

    A loop that ends sends its remaining messages first. Whoever ends it shuts down its asynchronous generators, as
    `asyncio.run` and `async_to_sync` do.
    """
    loop = asyncio.get_running_loop()
    if (outbox := _outboxes.get(loop)) is None:
        outbox = _outboxes[loop] = _Outbox()
    outbox.put(send)


def call_later(wait: timedelta, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Start a background task after a delay, unless the process ends before. If it fails, that is logged."""
    asyncio.get_running_loop().call_later(wait.total_seconds(), lambda: spawn(_log_failure(begin())))


async def _log_failure(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        logger.exception("a task that was put off failed")


def on_startup(hook: Callable[[], None]) -> None:
    """Call a function in the event loop when this process starts to serve requests.

    Importing the application does not call it.
    """
    _startup_hooks.append(hook)


def start() -> None:
    """Call the functions given to `on_startup`."""
    for hook in _startup_hooks:
        hook()


async def finish() -> None:
    """Wait up to FINISH_TIMEOUT for background tasks.

    Tasks started meanwhile are included.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(FINISH_TIMEOUT.total_seconds()):
            while others := _running - {asyncio.current_task()}:
                await asyncio.wait(others)


def on_shutdown(hook: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine before the server shuts down. Idempotent.

    Uses Twisted's reactor, Daphne's only way to delay its shutdown. Does nothing without a running reactor.
    """
    if hook in _shutdown_hooks or "twisted.internet.reactor" not in sys.modules:
        return  # registered already, or this process does not run Daphne
    from twisted.internet import defer, reactor  # importing it at module level would install an event loop

    def begin() -> defer.Deferred[None]:
        return defer.Deferred.fromFuture(asyncio.ensure_future(hook()))

    live_reactor: Any = reactor  # the stubs declare a module; at run time it is an object
    if live_reactor.running:
        _shutdown_hooks.add(hook)
        live_reactor.addSystemEventTrigger("before", "shutdown", begin)
