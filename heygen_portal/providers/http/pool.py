"""Clients with warm connections, shared within an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from heygen_portal.runtime import background


class Closable(Protocol):
    async def aclose(self) -> None: ...


Client = TypeVar("Client", bound=Closable)

# Connections belong to the event loop that opened them.
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, _OpenClients] = WeakKeyDictionary()
# Longer than any call lasts and any provider socket stays open.
UNUSED_SECONDS = 86_400


@dataclass
class _OpenClient:
    client: Any  # of the kind that its key tells
    used_at: float


class _OpenClients(dict[Hashable, _OpenClient]):
    """The open clients of the running event loop, closed at its end.

    Whoever ends a loop shuts down its asynchronous generators first: `asyncio.run`, `async_to_sync`, the server.
    """

    def __init__(self) -> None:
        super().__init__()
        self._at_end = self._close_at_end()
        with suppress(StopIteration):  # its first step, which makes the loop know it, waits for nothing
            anext(self._at_end).send(None)

    async def close(self) -> None:
        entries = list(self.values())
        self.clear()
        await asyncio.gather(*(entry.client.aclose() for entry in entries))

    async def _close_at_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            del _open[asyncio.get_running_loop()]
            await self.close()


def shared(key: tuple[Hashable, ...], connect: Callable[[], Client]) -> Client:
    """Return the client of this key, connected at its first use.

    The key holds the kind of client and every setting that its connections depend on. Must be called inside a running
    event loop. Each loop has its own connections.
    """
    loop = asyncio.get_running_loop()
    if (open_here := _open.get(loop)) is None:
        open_here = _open[loop] = _OpenClients()
    if key not in open_here:
        _close_unused(open_here, loop.time())
        open_here[key] = _OpenClient(connect(), loop.time())
    open_here[key].used_at = loop.time()
    client: Client = open_here[key].client
    return client


def _close_unused(open_here: _OpenClients, now: float) -> None:
    # Left over from accounts that were deleted or have another key now.
    for key in [key for key, entry in open_here.items() if now - entry.used_at > UNUSED_SECONDS]:
        background.spawn(open_here.pop(key).client.aclose())


async def close() -> None:
    """Close the clients that `shared` opened in this event loop."""
    if open_here := _open.get(asyncio.get_running_loop()):
        await open_here.close()
