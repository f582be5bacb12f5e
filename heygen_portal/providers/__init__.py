"""Providers of streaming avatars.

Call `for_account`; `contract.provider` has the interface.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
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
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, _OpenProvider]] = WeakKeyDictionary()
# Longer than any call lasts and any provider socket stays open.
UNUSED_SECONDS = 86_400


@dataclass
class _OpenProvider:
    provider: Provider
    used_at: float


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
    open_here = _open.setdefault(loop, {})
    if key not in open_here:
        _close_unused(open_here, loop.time())
        open_here[key] = _OpenProvider(KINDS[account.kind].connect(account), loop.time())
    open_here[key].used_at = loop.time()
    return open_here[key].provider


def _close_unused(open_here: dict[Key, _OpenProvider], now: float) -> None:
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
    open_here = _open.pop(asyncio.get_running_loop(), {})
    await asyncio.gather(*(entry.provider.aclose() for entry in open_here.values()))


@asynccontextmanager
async def closing_providers() -> AsyncIterator[None]:
    """Close this event loop's providers when the block ends."""
    try:
        yield
    finally:
        await close()
