"""The emulator's clock: the real one, plus whatever it was moved by."""

import time
from collections.abc import Callable


class Clock:
    """Seconds since the epoch; `move` brings limits nearer without anybody waiting for them."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._watchers: list[Callable[[], None]] = []

    def now(self) -> float:
        return time.time() + self.offset

    def move(self, seconds: float) -> None:
        """Shift by `seconds` and tell whoever waits for a moment that it may have come."""
        self.offset += seconds
        for watcher in self._watchers:
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        self._watchers.append(watcher)
