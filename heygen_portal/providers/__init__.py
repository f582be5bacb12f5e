"""Providers of avatars. Everything outside asks `for_account` and knows only the contract in `base`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from heygen_portal.providers.contract.provider import Account, Capabilities, Provider
from heygen_portal.providers.heygen.provider import HeyGen
from heygen_portal.providers.liveavatar.provider import LiveAvatar
from heygen_portal.runtime import background

KINDS: dict[str, type[Provider]] = {"heygen": HeyGen, "liveavatar": LiveAvatar}
"""Every provider there is; what is added here can be chosen for an account."""

# Connections belong to the event loop that opened them; keyed by all that they depend on,
# so an account whose key has changed gets new ones.
Key = tuple[str, str, str, str, bool]
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, _OpenProvider]] = WeakKeyDictionary()
UNUSED_SECONDS = 86_400
"""Longer than any call takes and any socket of the provider stays open."""


@dataclass
class _OpenProvider:
    provider: Provider
    used_at: float


def capabilities_of(kind: str) -> Capabilities:
    """What a kind of provider can do; needs no account and no network."""
    return KINDS[kind].capabilities


def for_account(account: Account) -> Provider:
    """Return the account's provider with its connections open_here warm. Only inside a running event loop."""
    key = (account.kind, account.base_url, account.api_key, account.key_header, account.is_sandbox)
    loop = asyncio.get_running_loop()
    open_here = _open.setdefault(loop, {})
    if key not in open_here:
        _close_unused(open_here, loop.time())
        open_here[key] = _OpenProvider(KINDS[account.kind].connect(account), loop.time())
    open_here[key].used_at = loop.time()
    return open_here[key].provider


def _close_unused(open_here: dict[Key, _OpenProvider], now: float) -> None:
    """Close the connections of accounts that have another key by now, or are gone."""
    for key in [key for key, entry in open_here.items() if now - entry.used_at > UNUSED_SECONDS]:
        background.keep(open_here.pop(key).provider.aclose())


@asynccontextmanager
async def opened(account: Account) -> AsyncIterator[Provider]:
    """Give a provider of entry's own and close it afterwards.

    For synchronous callers: under ASGI their coroutines run in the web process's own loop, whose
    providers are not theirs to close.
    """
    provider = KINDS[account.kind].connect(account)
    try:
        yield provider
    finally:
        await provider.aclose()


async def close() -> None:
    """Close what `for_account` opened in this event loop, before the loop ends."""
    open_here = _open.pop(asyncio.get_running_loop(), {})
    await asyncio.gather(*(entry.provider.aclose() for entry in open_here.values()))


@asynccontextmanager
async def closing_providers() -> AsyncIterator[None]:
    """Close what `for_account` opened in this event loop, for a loop that ends with the block."""
    try:
        yield
    finally:
        await close()
