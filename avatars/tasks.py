"""Celery tasks of the catalogue and recorded videos.

They keep the names under which earlier versions sent them.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from datetime import timedelta

from celery import shared_task
from django.core.cache import cache
from django.utils import timezone

from avatars.catalogue import sync_runs
from avatars.documents import jobs as document_jobs
from avatars.models import ProviderAccount, Video
from avatars.videos import orders
from heygen_portal.runtime.jobs import each_row, job_loop, queues
from heygen_portal.runtime.jobs.scheduler import PortalTask

__all__ = ["document_jobs", "process_videos", "sync_catalogues", "sync_runs"]  # modules with tasks of their own

LOCK_KEY, LOCK_SECONDS = "videos-are-looked-after", 20
VIDEOS_TIMEOUT = timedelta(hours=1)


def _has_due_videos() -> bool:
    return Video.objects.due(timezone.now()).exists()


@shared_task(
    name="avatars.tasks.look_after_videos",
    base=PortalTask,
    has_work=staticmethod(_has_due_videos),
    time_limit=queues.LONG_TIME_LIMIT_S,
)
def process_videos() -> None:
    """Take the next step with each video that is due. Checked every three seconds.

    Only one run at a time in the whole portal: fetching a video takes minutes, and other long jobs need a worker, too.
    """
    if not _has_due_videos():
        return
    token = uuid.uuid4().hex
    if cache.add(LOCK_KEY, token, LOCK_SECONDS):
        try:
            job_loop.run(_process_due_videos(), VIDEOS_TIMEOUT)
        finally:
            if cache.get(LOCK_KEY) == token:
                cache.delete(LOCK_KEY)


@shared_task(name="avatars.tasks.sync_all")
def sync_catalogues() -> None:
    """Sync every catalogue. Scheduled nightly."""
    for account in each_row.readable(ProviderAccount.objects.all()):
        with each_row.log_failure(f"account {account.pk}: its catalogue sync could not be started"):
            sync, is_new = sync_runs.begin(account)
            if is_new:
                sync_runs.sync_account.delay(sync.pk)


async def _process_due_videos() -> None:
    keeping = asyncio.create_task(_keep_lock())
    try:
        await orders.process_due(timezone.now())
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def _keep_lock() -> None:
    """Renew the lock until cancelled.

    If the worker dies, the lock expires and another worker continues.
    """
    while True:
        await asyncio.sleep(LOCK_SECONDS / 4)
        await asyncio.to_thread(cache.touch, LOCK_KEY, LOCK_SECONDS)
