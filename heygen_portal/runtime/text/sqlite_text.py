"""Text that SQLite stores although it is not UTF-8."""

from __future__ import annotations

import sqlite3
from typing import Any


class Connection(sqlite3.Connection):
    """A connection whose queries survive a row with such text: unreadable bytes become U+FFFD.

    Otherwise Python refuses all rows of a query because of one. PostgreSQL refuses to store such text.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.text_factory = _readable


def _readable(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")
