"""Providers of streaming avatars.

Call `for_account`; `contract.provider` has the interface.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from heygen_portal.providers.contract.provider import Account, Capabilities, Provider
from heygen_portal.providers.heygen.provider import HeyGen
from heygen_portal.providers.liveavatar.provider import LiveAvatar
from heygen_portal.runtime import background

# Providers that staff can choose for an account.
KINDS: dict[str, type[Provider]] = {"heygen": HeyGen, "liveavatar": LiveAvatar}

# Connections belong to the event loop that opened them. The key holds every setting that they
# depend on, so an account with a new API key gets new connections.
Key = tuple[str, str, str, str, bool]
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, _OpenProviders] = WeakKeyDictionary()
# Longer than any call lasts and any provider socket stays open.
UNUSED_SECONDS = 86_400


@dataclass
class _OpenProvider:
    provider: Provider
    used_at: float


class _OpenProviders(dict[Key, _OpenProvider]):
    """The open providers of the running event loop, closed at its end.

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
        await asyncio.gather(*(entry.provider.aclose() for entry in entries))

    async def _close_at_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            del _open[asyncio.get_running_loop()]
            await self.close()


def capabilities_of(kind: str) -> Capabilities:
    """Return the capabilities of a kind of provider, without a network call."""
    return KINDS[kind].capabilities


def sent_as(kind: str) -> Mapping[str, str]:
    """Return under which names a kind of provider is sent the settings of a session."""
    return KINDS[kind].sent_as if kind in KINDS else {}


def for_account(account: Account) -> Provider:
    """Return the account's provider with warm connections.

    Must be called inside a running event loop. Each loop has its own connections.
    """
    key = (account.kind, account.base_url, account.api_key, account.key_header, account.is_sandbox)
    loop = asyncio.get_running_loop()
    if (open_here := _open.get(loop)) is None:
        open_here = _open[loop] = _OpenProviders()
    if key not in open_here:
        _close_unused(open_here, loop.time())
        open_here[key] = _OpenProvider(KINDS[account.kind].connect(account), loop.time())
    open_here[key].used_at = loop.time()
    return open_here[key].provider


def _close_unused(open_here: _OpenProviders, now: float) -> None:
    # Left over from accounts that were deleted or have another key now.
    for key in [key for key, entry in open_here.items() if now - entry.used_at > UNUSED_SECONDS]:
        background.spawn(open_here.pop(key).provider.aclose())


@asynccontextmanager
async def opened(account: Account) -> AsyncIterator[Provider]:
    """Yield a separate provider and close it afterwards.

    For synchronous callers: under ASGI their coroutines run in the web process's event loop, whose shared
    providers they must not close.
    """
    provider = KINDS[account.kind].connect(account)
    try:
        yield provider
    finally:
        await provider.aclose()


async def close() -> None:
    """Close the providers that `for_account` opened in this event loop."""
    if open_here := _open.get(asyncio.get_running_loop()):
        await open_here.close()


@asynccontextmanager
async def closing_providers() -> AsyncIterator[None]:
    """Close this event loop's providers when the block ends."""
    try:
        yield
    finally:
        await close()
