"""The end of sessions: whoever asks for it, and what the worker does when a moment has come.

Safe to call twice, or from two places: `lifecycle` lets one caller win, and the rest change nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.base import Provider, ProviderError, ProviderRejected, SessionGone
from heygen_portal.threads import in_thread
from sessions import lifecycle, limits, presence
from sessions.models import EndReason, StreamingSession

logger = logging.getLogger(__name__)

AT_ONCE = 100
"""Sessions that one job stops side by side."""
SETTLED = timedelta(seconds=30)
"""A session younger than this may be missing from the provider's list without being gone."""


def evidence(exc: ProviderError) -> str:
    """Return what a provider's error proves, in one line without keys or speech."""
    if isinstance(exc, ProviderRejected):
        return f"{type(exc).__name__}: HTTP {exc.status}, code {exc.code or '-'}"
    return f"{type(exc).__name__}: {exc}"


async def stop(session: StreamingSession, reason: EndReason, detail: str = "") -> None:
    """End a session here and at the provider.

    When the provider cannot be reached the row stays STOPPING with a deadline, and the next tick brings it back.
    """
    if not await in_thread(lifecycle.begin_stop)(session, reason, detail):
        return  # somebody else is stopping it
    if session.provider_session_id:
        await finish_stop(session, providers.for_account(session.account))
    # Else the answer to `new` is still under way: who waits for it stops what it names; if nobody does any more,
    # the worker looks after STOP_PATIENCE.


async def stop_by_id(session_id: UUID, reason: EndReason) -> None:
    """End the session with this ID, if there is one."""
    find = in_thread(StreamingSession.objects.select_related("account").filter(pk=session_id).first)
    if session := await find():
        await stop(session, reason)


async def finish_stop(session: StreamingSession, provider: Provider) -> None:
    """Have the provider end what we are stopping, and note the end once it confirms."""
    try:
        if session.provider_session_id:
            await provider.stop_session(session.provider_session_id)
        elif not await _close_lost(session.account, provider):
            await _retry_later(session)
            return
    except SessionGone:
        pass  # nothing left to end: that is what we wanted
    except ProviderError as exc:
        logger.warning("session %s: stop failed, will be tried again: %s", session.pk, evidence(exc))
        await _retry_later(session)
        return
    await in_thread(lifecycle.end)(session)


async def _retry_later(session: StreamingSession) -> None:
    jitter = random.random()  # noqa: S311 - spreads retries, guards nothing
    await in_thread(limits.retry_stop)(session, jitter)


async def enforce_due(now: datetime) -> None:
    """Stop or warn every session whose moment has come."""
    await in_thread(presence.expire)(now)
    taken = await in_thread(limits.take_due)(now)
    places = asyncio.Semaphore(AT_ONCE)

    async def finish(session: StreamingSession) -> None:
        async with places:
            await finish_stop(session, providers.for_account(session.account))

    await asyncio.gather(*(finish(due.session) for due in taken))


async def reconcile(account: ProviderAccount) -> None:
    """Compare the provider's list with ours: end here what it ended, close there what nobody owns.

    Raises ProviderError when the list cannot be had.
    """
    provider = providers.for_account(account)
    ours = await in_thread(limits.running_at_provider)(account)
    listed = {row.provider_session_id for row in await provider.list_sessions()}
    for session in ours:
        if session.provider_session_id not in listed and session.created_at + SETTLED < timezone.now():
            await stop(session, EndReason.PROVIDER_ENDED, "missing from the provider's list")
    await _close_lost(account, provider)


async def _close_lost(account: ProviderAccount, provider: Provider) -> bool:
    """Close what the provider holds open and no row of ours names; return whether the account is clean.

    On an account that others use as well an unknown session may be theirs: it is left alone.
    """
    if not account.is_exclusive:
        return True
    listed = {row.provider_session_id for row in await provider.list_sessions()}
    unknown = listed - await in_thread(limits.owned)(account, listed)
    if not unknown:
        return True
    if await in_thread(limits.waiting_for_answer)(account):
        return False  # one of them may be the answer that somebody is about to get
    for provider_session_id in unknown:
        logger.warning("closing session %s at %s: nobody owns it", provider_session_id, account.name)
        try:
            await provider.stop_session(provider_session_id)
        except SessionGone:
            continue
    return True
