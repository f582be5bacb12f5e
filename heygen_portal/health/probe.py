"""Checks that may wait forever, asked for a bounded time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Probe(Generic[T]):
    """Run a function in a thread of its own, because a database driver may wait forever.

    While it runs, no other thread is started: a service that does not answer costs one thread.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._thread: threading.Thread | None = None

    async def ask(self, timeout_s: float) -> T:
        """Return what the function returns, or raise what it raises.

        Raises TimeoutError after `timeout_s`, and at once while an earlier call is still running.
        """
        if self._thread is not None and self._thread.is_alive():
            raise TimeoutError
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(self._function())
            except Exception as exc:  # noqa: BLE001 - raised where the answer is awaited
                answer.set_exception(exc)

        self._thread = threading.Thread(target=run, name="health", daemon=True)
        self._thread.start()
        async with asyncio.timeout(timeout_s):
            # Shielded, because a cancelled future could not take the late answer.
            return await asyncio.shield(asyncio.wrap_future(answer))
