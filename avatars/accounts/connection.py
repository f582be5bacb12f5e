"""Try each call that an account needs, and report which ones fail and why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.contract.provider import CredentialRefused, Provider, ProviderError, ProviderRejected

CALLS: dict[str, Callable[[Provider], Awaitable[Any]]] = {
    "key": lambda provider: provider.credits(),
    "avatars": lambda provider: provider.list_avatars(),
    "voices": lambda provider: provider.list_voices(),
    "knowledge": lambda provider: provider.list_knowledge_bases(),
    "sessions": lambda provider: provider.list_sessions(),
}


@dataclass(frozen=True)
class Call:
    """The result of one call.

    `why` is empty, `key` (not accepted), `refused` or `silent` (no usable answer).
    """

    code: str
    took_ms: int
    found: int | None = None
    why: str = ""
    detail: str = ""


async def check(account: ProviderAccount) -> list[Call]:
    """Try all calls in parallel. Stores nothing."""
    async with providers.opened(account) as provider:
        return list(await asyncio.gather(*(_try(provider, code) for code in CALLS)))


async def _try(provider: Provider, code: str) -> Call:
    began = time.monotonic()
    try:
        answer = await CALLS[code](provider)
    except ProviderError as exc:
        return Call(code, _since(began), why=_why(code, exc), detail=str(exc))
    return Call(code, _since(began), len(answer) if isinstance(answer, list) else None)


def _why(code: str, exc: ProviderError) -> str:
    if isinstance(exc, CredentialRefused):
        return "key"
    if isinstance(exc, ProviderRejected):
        return "" if code == "key" else "refused"  # some plans do not include this call: the key was accepted
    return "silent"


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
