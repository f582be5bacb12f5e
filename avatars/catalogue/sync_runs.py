"""Catalogue syncs that the worker runs, nightly and on request.

A row stores the progress.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from celery import shared_task
from django.db import IntegrityError, transaction
from django.utils import timezone

from avatars.catalogue.sync import sync_catalogue
from avatars.models import CatalogueSync, ProviderAccount
from heygen_portal.providers.contract.provider import CredentialRefused, ProviderError
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import job_loop

Step = CatalogueSync.Step
SYNC_TIMEOUT = timedelta(hours=1)


def begin(account: ProviderAccount, asked_by: int | None = None) -> tuple[CatalogueSync, bool]:
    """Return the account's running sync and False, or a new one and True."""
    now = timezone.now()
    try:
        with transaction.atomic():
            for sync in account.syncs.filter(step__in=(Step.WAITING, Step.LISTS, Step.PREVIEWS)):
                if not sync.is_lost(now):
                    return sync, False
                _set_step(sync.pk, Step.LOST)
            return CatalogueSync.objects.create(account=account, asked_by_id=asked_by), True
    except IntegrityError:  # another request was faster
        return account.syncs.latest("asked_at", "pk"), False


@shared_task(name="avatars.tasks.sync_account")
def sync_account(sync_id: int) -> None:
    """Run the sync of one row."""
    job_loop.run(run(sync_id), SYNC_TIMEOUT)


async def run(sync_id: int) -> None:
    """Run a sync and store each step.

    Does nothing if the sync has been started already.
    """
    sync = await in_thread(_claim)(sync_id)
    if sync is None:
        return

    async def report_progress(done: int, total: int) -> None:
        await in_thread(_set_step)(sync_id, Step.PREVIEWS, done=done, total=total)

    try:
        result = await sync_catalogue(sync.account, report_progress)
    except CredentialRefused as exc:
        await in_thread(_set_step)(sync_id, Step.REFUSED, detail=str(exc)[:300])
    except ProviderError as exc:
        await in_thread(_set_step)(sync_id, Step.FAILED, detail=str(exc)[:300])
    else:
        await in_thread(_set_step)(sync_id, Step.DONE, found=asdict(result))


def _claim(sync_id: int) -> CatalogueSync | None:
    claimed = CatalogueSync.objects.filter(pk=sync_id, step=Step.WAITING)
    if not claimed.update(step=Step.LISTS, moved_at=timezone.now()):
        return None
    return CatalogueSync.objects.select_related("account").get(pk=sync_id)


def _set_step(sync_id: int, step: CatalogueSync.Step, **changes: Any) -> None:
    CatalogueSync.objects.filter(pk=sync_id).update(step=step, moved_at=timezone.now(), **changes)
