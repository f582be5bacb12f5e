"""Background tasks that outlive the request or socket that started them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

FINISH_TIMEOUT = timedelta(seconds=8)
"""Supervisors send SIGKILL ten seconds after SIGTERM."""
_running: set[asyncio.Future[Any]] = set()
_shutdown_hooks: set[Callable[[], Coroutine[Any, Any, None]]] = set()


def spawn(work: Coroutine[Any, Any, None] | asyncio.Future[None]) -> asyncio.Future[None]:
    """Run a coroutine in the background.

    Keep a reference, because the event loop holds only a weak one.
    """
    task = asyncio.ensure_future(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


def call_later(wait: timedelta, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Start a background task after a delay, unless the process ends before."""
    asyncio.get_running_loop().call_later(wait.total_seconds(), lambda: spawn(begin()))


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
