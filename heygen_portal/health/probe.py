"""Checks that may wait forever, asked for a bounded time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Probe(Generic[T]):
    """Run a function in its own thread, because a database driver may wait forever.

    While it runs, no other thread is started: a service that does not answer costs one thread. Simultaneous callers
    share its answer, so that they cannot multiply its queries.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._answer: Future[T] | None = None

    async def ask(self, timeout_s: float) -> T:
        """Return what the function returns, or raise what it raises.

        Raises TimeoutError after `timeout_s`.
        """
        if self._answer is None or self._answer.done():
            self._answer = answer = Future[T]()
            threading.Thread(target=self._run, args=(answer,), name="health", daemon=True).start()
        async with asyncio.timeout(timeout_s):
            # Shielded, because a cancelled future could not take the late answer.
            return await asyncio.shield(asyncio.wrap_future(self._answer))

    def _run(self, answer: Future[T]) -> None:
        try:
            answer.set_result(self._function())
        except Exception as exc:  # noqa: BLE001 - raised where the answer is awaited
            answer.set_exception(exc)
