"""The door between asynchronous code and the database."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import wraps
from itertools import islice
from typing import ParamSpec, TypeVar

from channels.db import database_sync_to_async
from django.db import DEFAULT_DB_ALIAS, connections

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Send = Callable[[], Awaitable[None]]

# SQLite has one writer at a time. Threads that all want to write sleep and try again, longer each time; one behind the
# other they never do, and a transaction takes a millisecond.
_sqlite_executor = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
_sends_after_return: ContextVar[list[Send] | None] = ContextVar("afterwards", default=None)


def in_thread(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a short synchronous function that touches the database in a thread of its own.

    The default of `database_sync_to_async`, thread_sensitive=True, runs every socket of a process in one
    thread with everything else that is synchronous: one slow page would hold up everybody's chat.
    """
    # Read from the settings: `connection` is a thread-critical local of asgiref's, and asking it inside an event loop
    # makes a storage, and in it a connection, that nobody uses.
    is_sqlite = str(connections.settings[DEFAULT_DB_ALIAS]["ENGINE"]).endswith("sqlite3")
    executor = _sqlite_executor if is_sqlite else None

    @wraps(function)
    async def called(*args: P.args, **kwargs: P.kwargs) -> T:
        sends: list[Send] = []

        def call() -> T:
            token = _sends_after_return.set(sends)
            try:
                return function(*args, **kwargs)
            finally:
                _sends_after_return.reset(token)

        try:
            return await database_sync_to_async(call, thread_sensitive=False, executor=executor)()
        finally:
            for send in sends:
                await _send_safely(send)

    return called


def call_after_return(send: Send) -> bool:
    """Have the event loop that waits for this thread await `send`, once the function has returned.

    Return False where no loop waits. A thread that waited for the loop itself would keep others from the database.
    """
    sends = _sends_after_return.get()
    if sends is None:
        return False
    sends.append(send)
    return True


async def _send_safely(send: Send) -> None:
    """Whoever hears nothing reads the state later: the function's result stands."""
    try:
        await send()
    except Exception:
        logger.exception("what follows a change could not be told")


async def iterate_in_thread(items: Iterator[T]) -> AsyncIterator[T]:
    """Hand on what a synchronous iterator makes, one by one: given to a streamed answer as it is, it would be
    gathered in memory first.

    Each item is made in a thread of its own, and so with a connection of its own: none may hold a cursor open.
    """
    # A StopIteration cannot leave a coroutine: the end is an empty list.
    take = in_thread(lambda: list(islice(items, 1)))
    while item := await take():
        yield item[0]
