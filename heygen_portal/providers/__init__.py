"""Providers of streaming avatars.

Call `for_account`; `contract.provider` has the interface.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from heygen_portal.providers.contract.provider import Account, Capabilities, Provider
from heygen_portal.providers.heygen.provider import HeyGen
from heygen_portal.providers.http import pool
from heygen_portal.providers.liveavatar.provider import LiveAvatar

# Providers that staff can choose for an account.
KINDS: dict[str, type[Provider]] = {"heygen": HeyGen, "liveavatar": LiveAvatar}


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
    key = ("provider", account.kind, account.base_url, account.api_key, account.key_header, account.is_sandbox)
    return pool.shared(key, lambda: KINDS[account.kind].connect(account))


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
    """Close the clients that this event loop shares: of accounts and of model services."""
    await pool.close()


@asynccontextmanager
async def closing_providers() -> AsyncIterator[None]:
    """Close this event loop's shared clients when the block ends."""
    try:
        yield
    finally:
        await close()
