"""Costs from the history of providers that keep no record of each session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.contract.session_records import PastSession
from heygen_portal.runtime.in_thread import in_thread
from sessions.costs import ledger
from sessions.models import SessionTotal

# How long after its start a session is looked up if the provider has not reported its cost.
LOOKBACK = timedelta(days=7)
MAX_PAGES = 50


async def read(account: ProviderAccount, now: datetime) -> int:
    """Store the provider's costs of sessions without one; return how many were found.

    Raises ProviderError.
    """
    oldest = now - LOOKBACK
    wanted = await in_thread(_without_provider_cost)(account, oldest)
    provider, found = providers.for_account(account), 0
    for page in range(1, MAX_PAGES + 1):
        if not wanted:
            break
        past = await provider.past_sessions(page)
        for row in past.rows:
            if session_id := wanted.pop(row.provider_session_id, None):
                seconds = row.duration.total_seconds() if row.duration is not None else None
                await in_thread(ledger.store_provider_cost)(session_id, seconds, row.credits)
                found += 1
        if not past.has_more or _are_before(past.rows, oldest):
            break
    return found


def _without_provider_cost(account: ProviderAccount, oldest: datetime) -> dict[str, UUID]:
    rows = SessionTotal.objects.filter(account=account, provider_credits=None, session__created_at__gte=oldest)
    rows = rows.exclude(session__provider_session_id=None)
    pairs = rows.order_by().values_list("session__provider_session_id", "session_id")
    return {name: session_id for name, session_id in pairs if name}


def _are_before(rows: Sequence[PastSession], oldest: datetime) -> bool:
    moments = [row.created_at for row in rows if row.created_at]
    return bool(moments) and max(moments) < oldest
