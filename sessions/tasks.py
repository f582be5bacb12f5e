"""Celery tasks.

The database is the retry queue: the next tick makes up for a lost task. No task has `expires`, which would compare the
clocks of two machines. Instead `heygen_portal.runtime.jobs.scheduler` skips tasks that have piled up. Beat calls a
task's `has_work` first, and sends a task without work only as a heartbeat. Some tasks keep the name under which earlier
versions sent them.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from avatars.models import ProviderAccount
from heygen_portal import livekit
from heygen_portal.livekit import LiveKitAway
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import ProviderError
from heygen_portal.redis import marks
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import each_row, job_loop, queues
from heygen_portal.runtime.jobs.scheduler import PortalTask
from heygen_portal.webhooks import delivery, pause_mail
from sessions.actions import deadlines, program_access, stop
from sessions.brain import record
from sessions.costs import ledger, provider_costs, provider_record, spend_alerts
from sessions.exports import list_export
from sessions.health import watch
from sessions.integrity import nightly_check, record_upgrade
from sessions.persona_tests import runs as persona_test_runs
from sessions.presence import brain_access, observers, own_rooms, tabs
from sessions.retention import erasure, provider_erasure, superseded
from sessions.speech import webhook_lines
from sessions.staff import persona_checks

__all__ = ["persona_test_runs"]  # has tasks of its own

logger = logging.getLogger(__name__)

# Equals a tick's claim on the sessions that it stops. Afterwards another tick takes them.
TICK_TIMEOUT = timedelta(minutes=1)
JOB_TIMEOUT = timedelta(minutes=10)
# Longer than a run and its last attempts.
WEBHOOKS_TIMEOUT = timedelta(seconds=45)
NIGHT_TIMEOUT = timedelta(hours=2)
# Time for upgrading records of earlier versions each night. The next night continues.
UPGRADE_SECONDS_PER_NIGHT = 30
# An export is written for this long before it yields the worker to other tasks and queues itself again.
EXPORT_SECONDS_PER_JOB = 3


def _limits_are_due() -> bool:
    clock.measure()
    return stop.has_due(clock.now())


@shared_task(base=PortalTask, has_work=staticmethod(_limits_are_due))
def enforce_limits() -> None:
    """Stop or warn every session that is due. Checked twice a second."""
    job_loop.run(stop.run_tick(), TICK_TIMEOUT)


def _records_are_due() -> bool:
    return provider_record.has_due(timezone.now())


@shared_task(base=PortalTask, has_work=staticmethod(_records_are_due))
def read_records() -> None:
    """Read the providers' records of ended sessions. Checked every ten seconds."""
    job_loop.run(provider_record.read_due(timezone.now()), JOB_TIMEOUT)


def _bookings_are_due() -> bool:
    now = timezone.now()
    return ledger.has_unbooked() or deadlines.has_stale_tasks(now) or record.has_abandoned(now)


@shared_task(name="sessions.tasks.keep_books", base=PortalTask, has_work=staticmethod(_bookings_are_due))
def book_ended_sessions() -> None:
    """Add ended sessions to the totals. Checked every five seconds."""
    deadlines.fail_stale_tasks(timezone.now())
    record.close_abandoned(timezone.now())
    ledger.book_all()


@shared_task
def watch_work() -> None:
    """Judge the portal's work, as the web processes do. Scheduled every 20 seconds."""
    watch.judge()


@shared_task(name="sessions.tasks.look_at_spending")
def send_spend_alerts() -> None:
    """Notify staff of accounts close to their spending cap. Scheduled once a minute."""
    spend_alerts.raise_alerts(timezone.now())


@shared_task(name="sessions.tasks.read_bills")
def read_provider_costs() -> None:
    """Read the costs that providers report. Scheduled once an hour."""
    job_loop.run(_read_costs_of_all_accounts(), JOB_TIMEOUT)


@shared_task
def write_export(export_id: str) -> None:
    """Continue a large export.

    It is written in short parts, so that other exports are not kept waiting.
    """
    if list_export.continue_writing(UUID(export_id), EXPORT_SECONDS_PER_JOB):
        write_export.delay(export_id)


@shared_task(name="sessions.tasks.look_after_exports")
def maintain_exports() -> None:
    """Continue exports whose task was lost, and delete expired files.

    Scheduled once a minute.
    """
    list_export.delete_expired(timezone.now())
    for export_id in list_export.stale_exports(timezone.now()):
        write_export.delay(str(export_id))


@shared_task
def reconcile() -> None:
    """Compare each account's open sessions with ours, and repair deadlines.

    Scheduled once a minute.
    """
    deadlines.repair_deadlines(timezone.now())
    tabs.abandon_without_tabs(clock.now())
    job_loop.run(_reconcile_all(), JOB_TIMEOUT)


def _accesses_are_due() -> bool:
    clock.measure()
    return brain_access.has_due(clock.now())


@shared_task(base=PortalTask, has_work=staticmethod(_accesses_are_due))
def remove_brain_access() -> None:
    """Have providers remove what let them call the brain in sessions that are over. Checked every five seconds."""
    job_loop.run(brain_access.remove_due(clock.now()), JOB_TIMEOUT)


@shared_task
def check_observers() -> None:
    """Remove observers who lost their access. Scheduled every 20 seconds."""
    if livekit.is_set_up():
        job_loop.run(observers.check_access(), TICK_TIMEOUT)


@shared_task
def check_programs() -> None:
    """End the leases of programs whose access was lost. Scheduled every 20 seconds."""
    program_access.release_without_access()


@shared_task(time_limit=queues.LONG_TIME_LIMIT_S)
def verify_history() -> None:
    """Verify the whole record, anchor its new part and upgrade older records.

    Scheduled nightly.
    """
    nightly_check.check_record(timezone.now())
    record_upgrade.upgrade(UPGRADE_SECONDS_PER_NIGHT)


@shared_task(name="sessions.tasks.rehearse", time_limit=queues.LONG_TIME_LIMIT_S)
def check_personas() -> None:
    """Check whether every published persona still works. Scheduled nightly."""
    job_loop.run(persona_checks.check_published_personas(), NIGHT_TIMEOUT)


@shared_task(time_limit=queues.LONG_TIME_LIMIT_S)
def erase_old_speech() -> None:
    """Erase speech past its retention, and what closed accounts left behind.

    Scheduled nightly.
    """
    try:
        erasure.erase_expired(timezone.now())
    finally:
        erasure.erase_of_closed_accounts()


@shared_task(time_limit=queues.LONG_TIME_LIMIT_S)
def forget_superseded_documents() -> None:
    """Remove passages from the index that no session can find any more. Scheduled nightly."""
    superseded.forget()


def _webhooks_are_due() -> bool:
    clock.measure()
    return delivery.has_due(clock.now())


@shared_task(base=PortalTask, has_work=staticmethod(_webhooks_are_due))
def deliver_webhooks() -> None:
    """Send what webhooks are to be told. Checked every two seconds."""
    clock.measure()
    job_loop.run(delivery.run(webhook_lines.read), WEBHOOKS_TIMEOUT)


@shared_task
def maintain_webhooks() -> None:
    """Give up what waited for too long, and tell staff of paused webhooks. Scheduled once a minute."""
    delivery.give_up_expired(clock.now())
    pause_mail.send_due(clock.now())


async def _read_costs_of_all_accounts() -> None:
    for account in await in_thread(each_row.readable)(ProviderAccount.objects.all()):
        with each_row.log_failure(f"account {account.pk}: its costs could not be read"):
            try:
                await provider_costs.read(account, timezone.now())
            except ProviderError as exc:
                logger.warning("account %s: its costs could not be read: %s", account.pk, stop.error_for_log(exc))


@shared_task(name="sessions.tasks.forget_at_providers")
def erase_at_providers() -> None:
    """Have providers delete what was erased here. Scheduled twice a minute."""
    job_loop.run(provider_erasure.request_due(timezone.now()), JOB_TIMEOUT)


async def _reconcile_all() -> None:
    try:
        if livekit.is_set_up():
            await own_rooms.delete_unused()
    except LiveKitAway as exc:
        logger.warning("rooms could not be cleaned up: %s", exc)
    for account in await in_thread(each_row.readable)(ProviderAccount.objects.all()):
        with each_row.log_failure(f"account {account.pk} could not be reconciled"):
            try:
                await stop.reconcile(account)
                await asyncio.to_thread(marks.put, marks.of_account(account.pk))
            except ProviderError as exc:
                logger.warning("account %s could not be reconciled: %s", account.pk, stop.error_for_log(exc))
