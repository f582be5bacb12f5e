"""Celery jobs. The database is the retry queue: a job that is lost is made up for by the next tick.

None has `expires`: it would compare the clocks of two machines. `heygen_portal.runtime.scheduler` leaves out what has
piled up.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from avatars.models import ProviderAccount
from heygen_portal import livekit
from heygen_portal.livekit import LiveKitAway
from heygen_portal.providers.contract.provider import ProviderError
from heygen_portal.runtime import job_loop
from heygen_portal.runtime.in_thread import in_thread
from sessions.actions import deadlines, stop
from sessions.costs import ledger, provider_costs, provider_record, spend_alerts
from sessions.exports import list_export
from sessions.integrity import nightly_check, record_upgrade
from sessions.presence import observers, own_rooms
from sessions.retention import erasure, provider_erasure
from sessions.staff import persona_checks

logger = logging.getLogger(__name__)

TICK_TIMEOUT = timedelta(minutes=1)
"""As long as a tick's claim on the sessions that it stops: later, another one takes them."""
JOB_TIMEOUT = timedelta(minutes=10)
NIGHT_TIMEOUT = timedelta(hours=2)
UPGRADE_SECONDS_PER_NIGHT = 30
"""How long each night's look states what records of earlier versions show; the rest is the next night's."""
EXPORT_SECONDS_PER_JOB = 3
"""After so long an export lets the limits have the worker, and takes its turn again."""


@shared_task
def enforce_limits() -> None:
    """Stop or warn every session whose moment has come; beat sends this twice a second."""
    job_loop.run(stop.enforce_due(timezone.now()), TICK_TIMEOUT)


@shared_task
def read_records() -> None:
    """Read what providers keep of sessions that are over; beat sends this every ten seconds."""
    job_loop.run(provider_record.read_due(timezone.now()), JOB_TIMEOUT)


@shared_task
def keep_books() -> None:
    """Add sessions that are over to the totals; beat sends this every five seconds."""
    deadlines.fail_stale_tasks(timezone.now())
    ledger.book_all()


@shared_task
def look_at_spending() -> None:
    """Tell staff of accounts that near their cap; beat sends this once a minute."""
    spend_alerts.look(timezone.now())


@shared_task
def read_bills() -> None:
    """Read what providers say that sessions have cost; beat sends this once an hour."""
    job_loop.run(_read_all_bills(), JOB_TIMEOUT)


@shared_task
def write_export(export_id: str) -> None:
    """Write on with a large export; in turns, as the limits are kept by the same worker."""
    if list_export.write_on(UUID(export_id), EXPORT_SECONDS_PER_JOB):
        write_export.delay(export_id)


@shared_task
def look_after_exports() -> None:
    """Write on where the job was lost, and delete files that were kept long enough; beat sends this once a minute."""
    list_export.delete_expired(timezone.now())
    for export_id in list_export.left_behind(timezone.now()):
        write_export.delay(str(export_id))


@shared_task
def reconcile() -> None:
    """Compare every account's list of open sessions, and our deadlines, with what they should be; once a minute."""
    deadlines.repair_deadlines(timezone.now())
    job_loop.run(_reconcile_all(), JOB_TIMEOUT)


@shared_task
def check_observers() -> None:
    """Remove observers who lost their access; beat sends this every 20 seconds."""
    if livekit.is_set_up():
        job_loop.run(observers.check_access(), TICK_TIMEOUT)


@shared_task
def verify_history() -> None:
    """Look through the whole record and anchor what is new; beat sends this once a night."""
    nightly_check.look(timezone.now())
    record_upgrade.upgrade(UPGRADE_SECONDS_PER_NIGHT)


@shared_task
def rehearse() -> None:
    """Look whether every published persona still works; beat sends this once a night."""
    job_loop.run(persona_checks.check_published_personas(), NIGHT_TIMEOUT)


@shared_task
def erase_old_speech() -> None:
    """Erase what was said longer ago than its persona or account allows; beat sends this once a night."""
    erasure.erase_old(timezone.now())


async def _read_all_bills() -> None:
    for account in await in_thread(lambda: list(ProviderAccount.objects.all()))():
        try:
            await provider_costs.read(account, timezone.now())
        except ProviderError as exc:
            logger.warning("account %s: its bill could not be read: %s", account.pk, stop.error_for_log(exc))


@shared_task
def forget_at_providers() -> None:
    """Have providers delete what was erased here; beat sends this twice a minute."""
    job_loop.run(provider_erasure.carry_due(timezone.now()), JOB_TIMEOUT)


async def _reconcile_all() -> None:
    try:
        if livekit.is_set_up():
            await own_rooms.clean_up()
    except LiveKitAway as exc:
        logger.warning("rooms could not be cleaned up: %s", exc)
    for account in await in_thread(lambda: list(ProviderAccount.objects.all()))():
        try:
            await stop.reconcile(account)
        except ProviderError as exc:
            logger.warning("account %s could not be reconciled: %s", account.pk, stop.error_for_log(exc))
