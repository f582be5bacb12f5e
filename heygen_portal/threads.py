"""The door between asynchronous code and the database."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from channels.db import database_sync_to_async

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Run a short synchronous function that touches the database in a thread of its own.

    The default of `database_sync_to_async`, thread_sensitive=True, runs every socket of a process in one
    thread: one slow query would hold up everybody's chat.
    """
    return database_sync_to_async(function, thread_sensitive=False)
