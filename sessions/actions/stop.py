"""The end of sessions: whoever asks for it, and what the worker does when a moment has come.

Safe to call twice, or from two places: `lifecycle` lets one caller win, and the rest change nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.utils import timezone

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.contract.provider import Provider, ProviderError, ProviderRejected, SessionGone, StopReason
from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.worker_shutdown import this_worker
from sessions.actions import deadlines
from sessions.capacity import claims, queue
from sessions.capacity.claims import Claim
from sessions.lifecycle import end_evidence, transitions
from sessions.lifecycle.end_evidence import Evidence
from sessions.models import EndReason, StreamingSession
from sessions.presence import own_rooms, tabs

logger = logging.getLogger(__name__)

STOPS_IN_PARALLEL = 32
"""Sessions that one job stops side by side. The work of httpx's pool grows with the square of its connections: at 100
it took four times as long as the answers it waited for."""
SHUTDOWN_TIMEOUT_S = 5
"""How long a worker that ends waits for confirmations; its supervisor kills after ten seconds."""
SHUTDOWN_POLL_S = 0.5
WORKER_HEAD_START = timedelta(seconds=2)
"""What the worker has before a web process does its work: that is for the time when there is none."""
PROVIDER_STOP_REASONS: dict[str, StopReason] = {
    EndReason.TAB_CLOSED: StopReason.LEFT,
    EndReason.ORPHAN_FOUND: StopReason.LEFT,
    EndReason.IDLE: StopReason.IDLE,
    EndReason.DURATION_LIMIT: StopReason.DURATION,
}
"""What the provider is told of an end; of all others, that somebody closed it."""
LISTING_DELAY = timedelta(seconds=30)
"""A session younger than this may be missing from the provider's list without being gone."""


def error_for_log(exc: ProviderError) -> str:
    """Return what a provider's error says, for a log: without keys or speech."""
    if isinstance(exc, ProviderRejected):
        return f"{type(exc).__name__}: HTTP {exc.status}, code {exc.code or '-'}"
    return f"{type(exc).__name__}: {exc}"


async def stop(session: StreamingSession, reason: EndReason, evidence: Evidence) -> None:
    """End a session here and at the provider.

    When the provider cannot be reached the row stays STOPPING with a deadline, and the next tick brings it back.
    """
    if not await in_thread(transitions.begin_stop)(session, reason, evidence):
        return  # somebody else is stopping it
    if session.provider_session_id:
        await finish_stop(session, providers.for_account(session.account))
    # Else the answer to `new` is still under way: who waits for it stops what it names; if nobody does any more,
    # the worker looks after STOP_PATIENCE.


async def stop_by_id(session_id: UUID, reason: EndReason, evidence: Evidence) -> None:
    """End the session with this ID, if there is one."""
    find = in_thread(StreamingSession.objects.select_related("account").filter(pk=session_id).first)
    if session := await find():
        await stop(session, reason, evidence)


async def stop_as_claimed(session: StreamingSession, claim: Claim) -> None:
    """End a session that a page asks to be ended, for the reason that the portal can vouch for."""
    if await in_thread(claims.begin_stop)(session, claim) and session.provider_session_id:
        await finish_stop(session, providers.for_account(session.account))


async def finish_stops(sessions: Collection[StreamingSession]) -> None:
    """Do what `finish_stop` does for many, side by side; return when each provider has been asked once.

    What is not confirmed then is asked for again, by the worker or by this process, whichever lives.
    """
    await _finish_stops(session for session in sessions if session.provider_session_id)
    await _retry_when_due([session.pk for session in sessions])


async def finish_stop(session: StreamingSession, provider: Provider) -> None:
    """Have the provider end what we are stopping, and note the end once it confirms."""
    if await _is_confirmed(session, provider):
        await in_thread(_end)(session)
        await own_rooms.drop(session.room)


def _end(session: StreamingSession) -> None:
    """Note the end; the place is the next one's."""
    if transitions.end(session):
        queue.offer_slots(session.account_id)


async def end_unopened(session: StreamingSession, reason: EndReason, evidence: Evidence) -> None:
    """End a session that the provider was never asked for, or has refused: there is nothing to close."""

    def end() -> None:
        transitions.begin_stop(session, reason, evidence)
        _end(session)

    await in_thread(end)()


async def _is_confirmed(session: StreamingSession, provider: Provider) -> bool:
    """Ask the provider for the end; return whether nothing runs there any more. If it may, a later tick asks again."""
    try:
        if session.provider_session_id:
            why = PROVIDER_STOP_REASONS.get(session.end_reason, StopReason.CLOSED)
            await provider.stop_session(session.provider_session_id, why)
        elif not await _close_unused(session.account, provider, await _listed_ids(provider)):
            await _retry_later(session)
            return False
    except SessionGone:
        pass  # nothing left to end: that is what we wanted
    except ProviderError as exc:
        logger.warning("session %s: stop failed, will be retried: %s", session.pk, error_for_log(exc))
        await _retry_later(session, end_evidence.answered(exc))
        return False
    return True


async def _retry_later(session: StreamingSession, trouble: Evidence | None = None) -> None:
    jitter = random.random()
    await in_thread(deadlines.schedule_stop_retry)(session, jitter, trouble)


async def enforce_due(now: datetime) -> None:
    """Stop or warn every session whose moment has come."""
    await in_thread(tabs.expire)(now)
    taken = await in_thread(deadlines.claim_due)(now)
    await in_thread(queue.offer_all_slots)()
    await _finish_stops(taken)


def stop_if_abandoned(session_id: UUID) -> None:
    """End a session that a tab has left when its grace is over and nobody came back, as the worker would."""
    background.later(transitions.TAB_GRACE + WORKER_HEAD_START, partial(_enforce_due, [session_id]))


async def _enforce_due(session_ids: Collection[UUID]) -> None:
    """Do what the worker's tick does, for these."""
    await _finish_stops(await in_thread(deadlines.claim_due)(timezone.now(), session_ids))
    await _retry_when_due(session_ids)


async def _retry_when_due(session_ids: Collection[UUID]) -> None:
    """Look at what is not confirmed when it is to be asked for again, for as long as this process lives."""
    if at := await in_thread(deadlines.next_retry_at)(session_ids):
        background.later(max(at - timezone.now(), timedelta(0)) + WORKER_HEAD_START, partial(_enforce_due, session_ids))


async def _finish_stops(sessions: Iterable[StreamingSession]) -> None:
    """Do what `finish_stop` does for many, side by side; ends that are confirmed meanwhile are noted together.

    A worker that ends gives back what is not confirmed soon: another one asks again, and asking twice does no harm.
    """
    slots = asyncio.Semaphore(STOPS_IN_PARALLEL)

    async def ask(session: StreamingSession) -> StreamingSession | None:
        async with slots:
            return session if await _is_confirmed(session, providers.for_account(session.account)) else None

    asked = {asyncio.create_task(ask(session)): session for session in sessions}
    waiting = set(asked)
    confirmed: list[StreamingSession] = []
    give_up_at: float | None = None
    try:
        while waiting and not (give_up_at and time.monotonic() > give_up_at):
            done, waiting = await asyncio.wait(waiting, timeout=SHUTDOWN_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            if ended := [session for task in done if not task.exception() and (session := task.result())]:
                await in_thread(_end_all)([session.pk for session in ended])
                confirmed += ended
            if this_worker.is_ending() and give_up_at is None:
                give_up_at = time.monotonic() + SHUTDOWN_TIMEOUT_S
    finally:  # also where this is cancelled: the event loop goes on, and so would they
        for task in waiting:
            task.cancel()
        await in_thread(deadlines.release_claims)([asked[task].pk for task in waiting])
    await _run_in_parallel(own_rooms.drop(session.room) for session in confirmed if session.room)
    for task in asked.keys() - waiting:
        task.result()  # raises what went wrong, once the others are done


def _end_all(session_ids: Collection[UUID]) -> None:
    transitions.end_all(session_ids)
    queue.offer_all_slots()


async def _run_in_parallel(work: Iterable[Awaitable[None]]) -> None:
    """Do all of it, `STOPS_IN_PARALLEL` at a time. Raises the first failure once the others are done."""
    slots = asyncio.Semaphore(STOPS_IN_PARALLEL)

    async def do(one: Awaitable[None]) -> None:
        async with slots:
            await one

    for outcome in await asyncio.gather(*(do(one) for one in work), return_exceptions=True):
        if outcome:
            raise outcome


async def reconcile(account: ProviderAccount, refused: UUID | None = None) -> None:
    """Compare the provider's list with ours: end here what it ended, close there what nobody owns.

    `refused` is a session whose `new` the provider has just refused: nobody waits for an answer to it any more.
    Raises ProviderError when the list cannot be had.
    """
    provider = providers.for_account(account)
    ours = await in_thread(deadlines.running_at_provider)(account)
    rows = await provider.list_sessions()
    listed = {row.provider_session_id for row in rows}
    listed_since = timezone.now() - LISTING_DELAY
    gone = [row for row in ours if row.provider_session_id not in listed and row.created_at < listed_since]
    await _run_in_parallel(stop(row, EndReason.PROVIDER_ENDED, end_evidence.not_listed()) for row in gone)
    await _close_unused(account, provider, listed, refused)
    await in_thread(deadlines.record_unknown_sessions)(account, rows)


async def try_reconcile(account: ProviderAccount, refused: UUID | None = None) -> None:
    """Do what `reconcile` does, before somebody is refused or has to wait. A provider that cannot say frees nothing."""
    try:
        await reconcile(account, refused)
    except ProviderError as exc:
        logger.warning("account %s could not be reconciled: %s", account.pk, error_for_log(exc))


async def _listed_ids(provider: Provider) -> set[str]:
    return {row.provider_session_id for row in await provider.list_sessions()}


async def _close_unused(
    account: ProviderAccount, provider: Provider, listed: set[str], refused: UUID | None = None
) -> bool:
    """Close what the provider listed and nobody here uses; return whether none is left."""
    unused, is_complete = await in_thread(deadlines.find_unused)(account, listed, refused)

    async def close(provider_session_id: str) -> None:
        logger.warning("closing unused session %s at %s", provider_session_id, account.name)
        with suppress(SessionGone):
            await provider.stop_session(provider_session_id)

    await _run_in_parallel(close(provider_session_id) for provider_session_id in unused)
    return is_complete
