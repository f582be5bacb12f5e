"""Stop sessions on request and when due, and reconcile the provider's list.

Safe to repeat and to call concurrently: `lifecycle` lets exactly one caller make each transition.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import Provider, ProviderError, ProviderRejected, SessionGone, StopReason
from heygen_portal.runtime import background
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import each_row
from heygen_portal.runtime.jobs.worker_shutdown import this_worker
from sessions.actions import deadlines
from sessions.brain import running
from sessions.capacity import claims, queue
from sessions.capacity.claims import Claim
from sessions.lifecycle import end_evidence, transitions, unreadable
from sessions.lifecycle.end_evidence import Evidence
from sessions.lifecycle.unreadable import AccountUnreadable
from sessions.models import EndReason, StreamingSession
from sessions.presence import own_rooms, tabs

logger = logging.getLogger(__name__)

# A worker stops so many sessions of one account at once, so an account whose provider is silent keeps no other
# account waiting. The provider's connections are limited to 100, and starts need some.
STOPS_IN_PARALLEL = 32
# How long the worker's tick waits for providers. Then the next tick may stop other sessions.
TICK_WAIT_S = 1.0
# How long a worker that shuts down waits for confirmations. Its supervisor kills it after ten seconds.
SHUTDOWN_TIMEOUT_S = 5
SHUTDOWN_POLL_S = 0.5
# How long a web process leaves due work to the worker; it only steps in if no worker runs.
WORKER_HEAD_START = timedelta(seconds=2)
# Other end reasons are reported to the provider as CLOSED.
PROVIDER_STOP_REASONS: dict[str, StopReason] = {
    EndReason.TAB_CLOSED: StopReason.LEFT,
    EndReason.ORPHAN_FOUND: StopReason.LEFT,
    EndReason.IDLE: StopReason.IDLE,
    EndReason.DURATION_LIMIT: StopReason.DURATION,
}
# A session younger than this may be missing from the provider's list although it runs.
LISTING_DELAY = timedelta(seconds=30)


def error_for_log(exc: ProviderError) -> str:
    """Describe a provider's error for a log, without keys or speech."""
    if isinstance(exc, ProviderRejected):
        return f"{type(exc).__name__}: HTTP {exc.status}, code {exc.code or '-'}"
    return f"{type(exc).__name__}: {exc}"


async def stop(session: StreamingSession, reason: EndReason, evidence: Evidence) -> None:
    """End a session here and at the provider. Idempotent.

    If the provider cannot be reached, the row stays STOPPING with a deadline and the worker retries on its tick.
    """
    running.interrupt(session.pk, running.STOP)
    if not await in_thread(transitions.begin_stop)(session, reason, evidence):
        return  # another caller is stopping it
    if session.provider_session_id:
        await _finish_stop(session)
    # Otherwise the session is still being created: the process that waits for the answer stops it. If that process
    # died, the worker takes over after STOP_TIMEOUT.


async def stop_by_id(session_id: UUID, reason: EndReason, evidence: Evidence) -> None:
    """End the session with this ID, if there is one."""
    for session in await in_thread(unreadable.load)(StreamingSession.objects.filter(pk=session_id)):
        await stop(session, reason, evidence)


async def stop_as_claimed(session: StreamingSession, claim: Claim) -> None:
    """End a session at a page's request, with the reason that the portal can confirm."""
    if await in_thread(claims.begin_stop)(session, claim) and session.provider_session_id:
        await _finish_stop(session)


async def finish_stops(sessions: Collection[StreamingSession]) -> None:
    """Stop many STOPPING sessions at their providers in parallel.

    Return after one attempt each. Unconfirmed stops are retried by the worker or, if there is none, by this
    process.
    """
    await _finish_stops(session for session in sessions if session.provider_session_id)
    await _retry_when_due([session.pk for session in sessions])


async def _finish_stop(session: StreamingSession) -> None:
    """Stop the session at its account's provider.

    If the account cannot be read, a retry is scheduled.
    """
    if provider := await _provider_of(session):
        await finish_stop(session, provider)


async def _provider_of(session: StreamingSession) -> Provider | None:
    """Return the provider that stops the session, or schedule a retry and return None if there is none."""
    try:
        account = await in_thread(unreadable.account_of)(session)
        if account.kind not in providers.KINDS:
            raise AccountUnreadable("kind")
    except AccountUnreadable as exc:
        logger.exception("session %s: no stop was sent, because its account cannot be read", session.pk)
        await _retry_later(session, end_evidence.account_unreadable(str(exc)))
        return None
    return providers.for_account(account)


async def finish_stop(session: StreamingSession, provider: Provider) -> None:
    """Stop the session at the provider and mark it ended once confirmed."""
    others = await in_thread(deadlines.other_recorded_ids)([session])
    if await _is_confirmed(session, provider, others.get(session.pk, ())):
        await in_thread(_end)(session)
        await own_rooms.delete(session.room)


def _end(session: StreamingSession) -> None:
    """Mark the session ended and offer its slot to the next person in the queue."""
    if transitions.end(session):
        queue.try_offer_slots(session.account_id)


async def end_unopened(session: StreamingSession, reason: EndReason, evidence: Evidence) -> None:
    """End a session that the provider never created; nothing is stopped there."""

    def end() -> None:
        transitions.begin_stop(session, reason, evidence)
        _end(session)

    await in_thread(end)()


async def _is_confirmed(session: StreamingSession, provider: Provider, other_ids: Iterable[str]) -> bool:
    """Stop the session at the provider, also under other IDs that its record states.

    The provider may know the ID of a changed row, too, as that of another session. Return True if nothing runs there
    any more; else schedule a retry.
    """
    why = PROVIDER_STOP_REASONS.get(session.end_reason, StopReason.CLOSED)
    name = session.provider_session_id
    try:
        for recorded in other_ids:
            logger.error("session %s: its provider's ID was changed; stopping %s as well", session.pk, recorded)
            await _stop_there(provider, recorded, why)
        if name:
            await _stop_there(provider, name, why)
        if not name and not await _close_unused(session.account, provider, await _listed_ids(provider)):
            await _retry_later(session)
            return False
    except ProviderError as exc:
        logger.warning("session %s: stop failed, will be retried: %s", session.pk, error_for_log(exc))
        await _retry_later(session, end_evidence.provider_failed(exc))
        return False
    return True


async def _stop_there(provider: Provider, name: str, why: StopReason) -> None:
    """Stop a session at the provider, if the provider still knows it."""
    with suppress(SessionGone):
        await provider.stop_session(name, why)


async def _retry_later(session: StreamingSession, trouble: Evidence | None = None) -> None:
    jitter = random.random()
    await in_thread(deadlines.schedule_stop_retry)(session, jitter, trouble)


def has_due(now: datetime) -> bool:
    """Return whether `enforce_due` would find work.

    That is a due session, an expired lease, or a queue.
    """
    return StreamingSession.objects.due(now).exists() or tabs.has_expired_leases(now) or queue.is_used()


async def enforce_due(now: datetime) -> None:
    """Stop or warn every session that is due.

    Neither leases nor queues that cannot be read keep due sessions from being stopped.
    """
    await _finish_stops(await _claim_due(now))


async def run_tick() -> None:
    """Do what `enforce_due` does by the shared clock, without waiting long for providers.

    Stops that are not confirmed within `TICK_WAIT_S` go on in the background, so that a silent provider does not
    delay the next tick.
    """
    await in_thread(clock.measure)()
    stopping = background.spawn(_finish_due_stops(await _claim_due(clock.now())))
    await asyncio.wait([stopping], timeout=TICK_WAIT_S)


async def _claim_due(now: datetime) -> list[StreamingSession]:
    """Warn or claim every session that is due, and return those to stop at their providers."""
    with each_row.log_failure("expired leases could not be removed"):
        await in_thread(tabs.expire_leases)(now)
    taken = await in_thread(deadlines.claim_due)(now)
    with each_row.log_failure("free slots could not be offered"):
        await in_thread(queue.offer_all_slots)()
    return taken


async def _finish_due_stops(sessions: list[StreamingSession]) -> None:
    with each_row.log_failure("due sessions could not be stopped"):  # the claim ends, and another tick tries again
        await _finish_stops(sessions)


def stop_if_abandoned(session_id: UUID) -> None:
    """Schedule the stop of a session whose tab has left.

    It takes effect only if no worker stops the session at the end of the grace period.
    """
    background.call_later(transitions.TAB_GRACE + WORKER_HEAD_START, partial(enforce_due_of, [session_id]))


async def enforce_due_of(session_ids: Collection[UUID]) -> None:
    """Enforce the deadlines of these sessions and keep retrying their stops."""
    await _finish_stops(await in_thread(deadlines.claim_due)(clock.now(), session_ids))
    await _retry_when_due(session_ids)


async def _retry_when_due(session_ids: Collection[UUID]) -> None:
    """Schedule the next retry of unconfirmed stops in this process."""
    if at := await in_thread(deadlines.next_retry_at)(session_ids):
        background.call_later(
            max(at - clock.now(), timedelta(0)) + WORKER_HEAD_START, partial(enforce_due_of, session_ids)
        )


async def _finish_stops(sessions: Iterable[StreamingSession]) -> None:
    """Stop many sessions at their providers in parallel.

    Confirmed ones are marked ended in groups. A worker that shuts down releases its claims on stops that are not
    confirmed in time: another worker retries them, and stopping twice is harmless.
    """
    slots: defaultdict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(STOPS_IN_PARALLEL))

    async def ask(session: StreamingSession) -> StreamingSession | None:
        async with slots[session.account_id]:
            try:
                provider = await _provider_of(session)
                if not provider:
                    return None
                return session if await _is_confirmed(session, provider, others.get(session.pk, ())) else None
            except Exception as exc:
                if each_row.is_outage(exc):
                    raise
                logger.exception("session %s could not be stopped", session.pk)
                await _retry_later(session, end_evidence.stop_failed(type(exc).__name__))
                return None

    sessions = list(sessions)
    others: dict[UUID, set[str]] = {}
    with each_row.log_failure("records could not be searched for other IDs at the provider"):
        others = await in_thread(deadlines.other_recorded_ids)(sessions) if sessions else {}
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
    finally:  # after a cancellation, too: the event loop continues, and so would the tasks
        for task in waiting:
            task.cancel()
        await in_thread(deadlines.release_claims)([asked[task].pk for task in waiting])
    await _run_in_parallel(own_rooms.delete(session.room) for session in confirmed if session.room)
    for task in asked.keys() - waiting:
        task.result()  # raises the failure, once the others are done


def _end_all(session_ids: Collection[UUID]) -> None:
    """Mark stopped sessions ended, one by one if that fails because of one of them."""
    try:
        transitions.end_all(session_ids)
    except Exception as exc:
        if each_row.is_outage(exc):
            raise  # the next tick tries again
        for session in unreadable.load(StreamingSession.objects.filter(pk__in=session_ids)):
            with each_row.log_failure(f"session {session.pk} could not be marked ended"):
                transitions.end(session)
    queue.offer_all_slots()


async def _run_in_parallel(work: Iterable[Awaitable[None]]) -> None:
    """Await all, `STOPS_IN_PARALLEL` at a time.

    Raises the first failure once the others are done.
    """
    slots = asyncio.Semaphore(STOPS_IN_PARALLEL)

    async def do(one: Awaitable[None]) -> None:
        async with slots:
            await one

    for outcome in await asyncio.gather(*(do(one) for one in work), return_exceptions=True):
        if outcome:
            raise outcome


async def reconcile(account: ProviderAccount, refused: UUID | None = None) -> None:
    """Reconcile our sessions with the provider's list.

    Sessions missing from the list are ended here, and unused sessions are closed there. `refused` is a session
    whose creation the provider has just refused. Raises ProviderError if the list cannot be read.
    """
    provider = providers.for_account(account)
    ours = await in_thread(deadlines.running_at_provider)(account, clock.now() - LISTING_DELAY)
    rows = await provider.list_sessions()
    listed = {row.provider_session_id for row in rows}
    gone = [row for row in ours if row.provider_session_id not in listed]
    await _run_in_parallel(stop(row, EndReason.PROVIDER_ENDED, end_evidence.not_listed()) for row in gone)
    await _close_unused(account, provider, listed, refused)
    await in_thread(deadlines.record_unknown_sessions)(account, rows)


async def try_reconcile(account: ProviderAccount, refused: UUID | None = None) -> None:
    """Reconcile before a start is refused or queued. A provider error is only logged."""
    try:
        await reconcile(account, refused)
    except ProviderError as exc:
        logger.warning("account %s could not be reconciled: %s", account.pk, error_for_log(exc))


async def _listed_ids(provider: Provider) -> set[str]:
    return {row.provider_session_id for row in await provider.list_sessions()}


async def _close_unused(
    account: ProviderAccount, provider: Provider, listed: set[str], refused: UUID | None = None
) -> bool:
    """Close listed sessions that are unused here.

    Return False if some unknown ones were left alone.
    """
    unused, is_complete = await in_thread(deadlines.find_unused)(account, listed, refused)

    async def close(provider_session_id: str) -> None:
        logger.warning("closing unused session %s at %s", provider_session_id, account.name)
        with suppress(SessionGone):
            await provider.stop_session(provider_session_id)

    await _run_in_parallel(close(provider_session_id) for provider_session_id in unused)
    return is_complete
