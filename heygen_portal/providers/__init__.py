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
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, _Kept]] = WeakKeyDictionary()
UNUSED_AFTER_S = 86_400
"""Longer than any call takes and any socket of the provider stays open."""


@dataclass
class _Kept:
    provider: Provider
    used_at: float


def capabilities_of(kind: str) -> Capabilities:
    """What a kind of provider can do; needs no account and no network."""
    return KINDS[kind].capabilities


def for_account(account: Account) -> Provider:
    """Return the account's provider with its connections kept warm. Only inside a running event loop."""
    key = (account.kind, account.base_url, account.api_key, account.key_header, account.is_sandbox)
    loop = asyncio.get_running_loop()
    kept = _open.setdefault(loop, {})
    if key not in kept:
        _close_unused(kept, loop.time())
        kept[key] = _Kept(KINDS[account.kind].connect(account), loop.time())
    kept[key].used_at = loop.time()
    return kept[key].provider


def _close_unused(kept: dict[Key, _Kept], now: float) -> None:
    """Close the connections of accounts that have another key by now, or are gone."""
    for key in [key for key, one in kept.items() if now - one.used_at > UNUSED_AFTER_S]:
        background.keep(kept.pop(key).provider.aclose())


@asynccontextmanager
async def opened(account: Account) -> AsyncIterator[Provider]:
    """Give a provider of one's own and close it afterwards.

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
    kept = _open.pop(asyncio.get_running_loop(), {})
    await asyncio.gather(*(one.provider.aclose() for one in kept.values()))


@asynccontextmanager
async def closing_providers() -> AsyncIterator[None]:
    """Close what `for_account` opened in this event loop, for a loop that ends with the block."""
    try:
        yield
    finally:
        await close()
