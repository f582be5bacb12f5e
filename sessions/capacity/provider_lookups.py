"""Read a provider's list because of one session's report.

Reads stay within budgets and are shared by concurrent callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import cast

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.contract.provider import OpenSession
from heygen_portal.runtime import budgets
from sessions.models import StreamingSession

# The status of a session that the provider does not list, and of any session if the list could not be read.
MISSING, UNKNOWN = "missing", "unknown"

Call = asyncio.Task[list[OpenSession]]

# By account ID. A call that has already started may miss what a caller has just seen, so later callers share the next.
_running: dict[int, Call] = {}
_next: dict[int, Call] = {}


def find(rows: Iterable[OpenSession], provider_session_id: str | None) -> OpenSession | None:
    """Return a session's row in the provider's list, or None."""
    return next((row for row in rows if row.provider_session_id == provider_session_id), None)


async def find_listed(session: StreamingSession) -> OpenSession | None:
    """Return a session's row in the provider's current list.

    Raises ProviderError, TooManyRequests.
    """
    return find(await listed(session), session.provider_session_id)


async def listed_status(session: StreamingSession) -> str:
    """Return the provider's word for a session's status, or MISSING.

    Raises ProviderError, TooManyRequests.
    """
    row = await find_listed(session)
    return row.status if row else MISSING


async def listed(session: StreamingSession) -> list[OpenSession]:
    """Return the provider's current list. Raises ProviderError, TooManyRequests."""
    await budgets.spend("provider_lookup", session=session.pk, person=session.owner_id)
    return await asyncio.shield(_shared(session.account))


def _shared(account: ProviderAccount) -> Call:
    running = _of_this_loop(_running, account.pk)
    if call := _of_this_loop(_next, account.pk):
        return call
    call = asyncio.ensure_future(_ask(account, running))
    call.add_done_callback(_forget_failure)
    (_next if running else _running)[account.pk] = call
    return call


def _of_this_loop(calls: dict[int, Call], account_id: int) -> Call | None:
    call = calls.get(account_id)
    return call if call and not call.done() and call.get_loop() is asyncio.get_running_loop() else None


async def _ask(account: ProviderAccount, before: Call | None) -> list[OpenSession]:
    this = cast("Call", asyncio.current_task())
    if before:
        await asyncio.wait([before])
        _next.pop(account.pk, None)
        _running[account.pk] = this
    try:
        await budgets.spend("provider_lookup", account=account.pk)
        return await providers.for_account(account).list_sessions()
    finally:
        if _running.get(account.pk) is this:
            del _running[account.pk]


def _forget_failure(call: Call) -> None:
    """Mark the exception as retrieved.

    Callers have raised it; without any, the event loop must not report it.
    """
    with suppress(asyncio.CancelledError):
        call.exception()
