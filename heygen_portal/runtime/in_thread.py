"""Access to the database from asynchronous code."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import wraps
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from channels.db import database_sync_to_async
from django.db import DEFAULT_DB_ALIAS, connections

from heygen_portal.runtime import background
from heygen_portal.runtime.background import Send

P = ParamSpec("P")
T = TypeVar("T")

# SQLite has one writer at a time. Several writing threads would back off longer and longer; in one thread a
# transaction takes a millisecond.
_sqlite_executor = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
# Django asks PostgreSQL whether a kept connection still works, which costs each call a round trip. A connection of this
# thread that worked so recently is not asked. If it fails all the same, Django replaces it, and asks the next one.
TRUSTED_S = 1.0
_this_thread = threading.local()
_sends_after_return: ContextVar[list[Send] | None] = ContextVar("afterwards", default=None)


def in_thread(function: Callable[P, T], executor: ThreadPoolExecutor | None = None) -> Callable[P, Awaitable[T]]:
    """Return an async version of a short function that touches the database.

    `executor` is for what must not wait behind other calls, on PostgreSQL.

    `database_sync_to_async` by default (thread_sensitive=True) runs all sockets of a process and all other
    synchronous code in one thread, so one slow page would block every chat.
    """
    # Read from the settings: `connection` is a thread-critical asgiref local, and reading it inside an event loop
    # would create an unused connection.
    is_sqlite = str(connections.settings[DEFAULT_DB_ALIAS]["ENGINE"]).endswith("sqlite3")
    threads = _sqlite_executor if is_sqlite else executor

    @wraps(function)
    async def called(*args: P.args, **kwargs: P.kwargs) -> T:
        sends: list[Send] = []

        def call() -> T:
            if time.monotonic() < getattr(_this_thread, "trusted_until", 0.0):
                database: Any = connections[DEFAULT_DB_ALIAS]  # the stubs lack the attribute
                database.health_check_done = True
            token = _sends_after_return.set(sends)
            _this_thread.trusted_until = 0.0
            try:
                result = function(*args, **kwargs)
            finally:
                _sends_after_return.reset(token)
            _this_thread.trusted_until = time.monotonic() + TRUSTED_S
            return result

        try:
            return await database_sync_to_async(call, thread_sensitive=False, executor=threads)()
        finally:
            for send in sends:
                background.send_soon(send)

    return called


def call_after_return(send: Send) -> bool:
    """Let the event loop that awaits this thread send a message afterwards.

    Return False if no loop is waiting.
    """
    sends = _sends_after_return.get()
    if sends is None:
        return False
    sends.append(send)
    return True


async def iterate_in_thread(items: Iterator[T]) -> AsyncIterator[T]:
    """Iterate over a synchronous iterator in threads, one item at a time.

    Django would read a synchronous iterator into memory before streaming it. Each item may be produced in another
    thread with another connection, so the iterator must not hold a cursor open.
    """
    # A coroutine cannot raise StopIteration, so the end is an empty list.
    take = in_thread(lambda: list(islice(items, 1)))
    while item := await take():
        yield item[0]
