"""A flag, shared by a worker's processes, that the worker was asked to end."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Event


class WorkerShutdown:
    """Shutdown flag.

    Web processes never create it, so for them `is_ending` is always false.
    """

    def __init__(self) -> None:
        self._requested: Event | None = None

    def prepare(self) -> None:
        """Create the flag. Call before the pool forks, so that its processes inherit it."""
        self._requested = multiprocessing.Event()

    def request(self) -> None:
        if self._requested:
            self._requested.set()

    def is_ending(self) -> bool:
        return self._requested is not None and self._requested.is_set()


this_worker = WorkerShutdown()
