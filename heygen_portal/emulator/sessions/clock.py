"""The emulator's clock: real time plus an offset."""

import time
from collections.abc import Callable


class Clock:
    """Seconds since the epoch. `move` lets tests reach limits without waiting."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._watchers: list[Callable[[], None]] = []

    def now(self) -> float:
        return time.time() + self.offset

    def move(self, seconds: float) -> None:
        """Shift the clock by `seconds` and notify the watchers."""
        self.offset += seconds
        for watcher in self._watchers:
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        self._watchers.append(watcher)
