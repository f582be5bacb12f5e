"""Erasure at the provider: requested until the provider confirms it.

Failures are recorded.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from heygen_portal import providers
from heygen_portal.providers.contract.provider import ProviderError, ProviderRejected, SessionGone
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import due_rows, each_row
from heygen_portal.trail import statements
from sessions.actions.stop import error_for_log
from sessions.lifecycle import coverage, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import ProviderErasure, StreamingSession

logger = logging.getLogger(__name__)

ERASURES_IN_PARALLEL = 20
# The interval between attempts doubles each time.
FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=1), timedelta(days=1)


async def request_due(now: datetime) -> None:
    """Ask providers to delete erased speech that they have not confirmed yet."""
    due = await in_thread(_claim_due)(now)
    await asyncio.gather(*(_try_request(row, now) for row in due))


def _claim_due(now: datetime) -> list[ProviderErasure]:
    """Claim due rows until their next attempt.

    Two workers never ask for the same row.

    Attempts are counted in memory; the count is stored together with the event that states the result.
    """
    with transaction.atomic():
        rows = ProviderErasure.objects.select_related("erasure__session__account").filter(done_at=None)
        rows = rows.filter(due_at__lte=now).order_by("due_at")
        due = due_rows.claim(rows, ERASURES_IN_PARALLEL, due_at=now + FIRST_RETRY)
        claimed = []
        for row in due:
            with each_row.log_failure(f"erasure {row.pk}: its next attempt could not be scheduled"):
                row.attempts += 1
                row.due_at = now + min(FIRST_RETRY * 2 ** min(row.attempts - 1, 20), LONGEST_RETRY)
                claimed.append(row)
        ProviderErasure.objects.bulk_update(claimed, ["due_at"])
    return claimed


async def _try_request(row: ProviderErasure, now: datetime) -> None:
    with each_row.log_failure(f"erasure {row.pk}: its erasure at the provider could not be requested or stored"):
        await _request(row, now)


async def _request(row: ProviderErasure, now: datetime) -> None:
    session: StreamingSession = row.erasure.session
    assert session.provider_session_id
    try:
        with suppress(SessionGone):  # it has deleted the session already
            await providers.for_account(session.account).forget(session.provider_session_id)
    except ProviderError as exc:
        logger.warning("session %s: the provider has not deleted its speech: %s", session.pk, error_for_log(exc))
        await in_thread(_store_failure)(row, exc)
    else:
        await in_thread(_store_confirmation)(row, now)


def _store_failure(row: ProviderErasure, exc: ProviderError) -> None:
    """Store and record a failed attempt."""
    row.failure = error_for_log(exc)[:200]
    http = exc.status if isinstance(exc, ProviderRejected) else None
    details = {"erasure": row.pk, "failure": type(exc).__name__, "http": http}
    _store(row, EventKind.PROVIDER_ERASURE_FAILED, details, failure=row.failure)


def _store_confirmation(row: ProviderErasure, now: datetime) -> None:
    row.done_at, row.due_at, row.failure = now, None, ""
    details = {"erasure": row.pk, "attempts": row.attempts}
    _store(row, EventKind.PROVIDER_ERASED, details, done_at=now, due_at=None, failure="")


def _store(row: ProviderErasure, kind: str, details: dict[str, Any], **changes: Any) -> None:
    with transaction.atomic():
        ProviderErasure.objects.filter(pk=row.pk).update(attempts=row.attempts, **changes)
        stated = statements.state(coverage.PROVIDER_ERASURE, row)
        events.record(row.erasure.session_id, Entry(kind, details | stated, events.Source.PROVIDER))
