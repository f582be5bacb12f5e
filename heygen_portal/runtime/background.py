"""Work that goes on when whoever began it has gone: an answer of the provider is never left unread."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

FINISH_TIMEOUT = timedelta(seconds=8)
"""A supervisor that asks for the end kills after ten seconds."""
_running: set[asyncio.Future[Any]] = set()
_shutdown_hooks: set[Callable[[], Coroutine[Any, Any, None]]] = set()


def spawn(work: Coroutine[Any, Any, None] | asyncio.Future[None]) -> asyncio.Future[None]:
    """Begin it, and hold it until it is done: the event loop alone would not."""
    task = asyncio.ensure_future(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


def call_later(wait: timedelta, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Begin it after a while, unless the process has ended by then."""
    asyncio.get_running_loop().call_later(wait.total_seconds(), lambda: spawn(begin()))


async def finish() -> None:
    """Wait for what is under way, and for what begins meanwhile, but no longer than a server that ends may."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FINISH_TIMEOUT.total_seconds()):
            while others := _running - {asyncio.current_task()}:
                await asyncio.wait(others)


def on_shutdown(hook: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have the server wait for this when it is asked to end. Safe to repeat.

    Daphne has no other way to say so than its reactor.
    """
    if hook in _shutdown_hooks or "twisted.internet.reactor" not in sys.modules:
        return  # said already; or another server, or none
    from twisted.internet import defer, reactor  # importing it elsewhere would choose an event loop

    def begin() -> defer.Deferred[None]:
        return defer.Deferred.fromFuture(asyncio.ensure_future(hook()))

    live_reactor: Any = reactor  # a module that turns into an object
    if live_reactor.running:
        _shutdown_hooks.add(hook)
        live_reactor.addSystemEventTrigger("before", "shutdown", begin)
