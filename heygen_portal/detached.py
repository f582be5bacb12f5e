"""Work that goes on when whoever began it has gone: an answer of the provider is never left unread."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

_kept: set[asyncio.Future[Any]] = set()


def keep(work: Coroutine[Any, Any, None] | asyncio.Future[None]) -> asyncio.Future[None]:
    """Begin it, and hold it until it is done: the event loop alone would not."""
    task = asyncio.ensure_future(work)
    _kept.add(task)
    task.add_done_callback(_kept.discard)
    return task
