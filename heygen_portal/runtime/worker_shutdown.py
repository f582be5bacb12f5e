"""Whether this Celery worker was asked to end, seen by every process of its pool."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Event


class WorkerShutdown:
    """Created by a worker before its pool forks. Web processes never create the flag, and are never ending."""

    def __init__(self) -> None:
        self._requested: Event | None = None

    def prepare(self) -> None:
        """Create the flag that the processes of the pool inherit. Call before they are forked."""
        self._requested = multiprocessing.Event()

    def request(self) -> None:
        if self._requested:
            self._requested.set()

    def is_ending(self) -> bool:
        return self._requested is not None and self._requested.is_set()


this_worker = WorkerShutdown()
