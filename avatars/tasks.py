"""Celery jobs of the catalogue's area."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from datetime import timedelta

from celery import shared_task
from django.core.cache import cache
from django.utils import timezone

from avatars.catalogue import sync_runs
from avatars.models import ProviderAccount, Video
from avatars.videos import orders
from heygen_portal.runtime import job_loop

LOCK_KEY, LOCK_SECONDS = "videos-are-looked-after", 20
VIDEOS_TIMEOUT = timedelta(hours=1)


@shared_task
def look_after_videos() -> None:
    """Take the next step with each video that is due; beat sends this every three seconds.

    One at a time in the whole portal: a film takes minutes to fetch, and the workers that are left keep the limits.
    """
    if not Video.objects.due(timezone.now()).exists():
        return
    token = uuid.uuid4().hex
    if cache.add(LOCK_KEY, token, LOCK_SECONDS):
        try:
            job_loop.run(_process_videos(), VIDEOS_TIMEOUT)
        finally:
            if cache.get(LOCK_KEY) == token:
                cache.delete(LOCK_KEY)


@shared_task
def sync_all() -> None:
    """Bring every catalogue up to date; beat sends this once a night."""
    for account in ProviderAccount.objects.all():
        sync, is_new = sync_runs.begin(account)
        if is_new:
            sync_runs.sync_account.delay(sync.pk)


async def _process_videos() -> None:
    keeping = asyncio.create_task(_keep_lock())
    try:
        await orders.process_due(timezone.now())
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def _keep_lock() -> None:
    """A worker that dies renews it no more, and another one goes on."""
    while True:
        await asyncio.sleep(LOCK_SECONDS / 4)
        await asyncio.to_thread(cache.touch, LOCK_KEY, LOCK_SECONDS)
