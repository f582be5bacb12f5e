"""Recorded videos: order once, poll until ready, fetch the file on request.

The row's `status` and `due_at` say what is to be done, so the next worker continues after a crash. An order costs
money: it is recorded before it is sent, and an order without an answer is looked up in the provider's list and never
repeated automatically.

The audit log states a video when staff order it or continue with it, and when it is ready or has failed.
"""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from datetime import datetime, timedelta
from typing import Any, BinaryIO, TypeAlias

from django.core.files.base import File
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from avatars.models import Video
from avatars.models.stated import VIDEO
from avatars.videos import disclosure
from heygen_portal import providers
from heygen_portal.providers.contract.provider import (
    CredentialRefused,
    LimitReached,
    NotSent,
    OutOfCredits,
    Provider,
    ProviderError,
    ProviderRejected,
    ProviderUnreachable,
)
from heygen_portal.providers.contract.videos import VideoRequest, VideoState, VideoStatus
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import due_rows, each_row
from heygen_portal.trail import change_log, statements
from heygen_portal.trail.change_log import SERVER, Actor
from heygen_portal.trail.models import AuditEntry

logger = logging.getLogger(__name__)

Status: TypeAlias = Video.Status
Failure: TypeAlias = Video.Failure

VIDEOS_IN_PARALLEL = 10
# How long a claimed row is not claimed again: longer than one call may last.
CLAIM_DURATION = timedelta(seconds=60)
FIRST_POLL, MAX_PAUSE = timedelta(seconds=5), timedelta(minutes=1)
ORDER_TIMEOUT = timedelta(hours=1)
LOST_TIMEOUT = timedelta(minutes=10)
MAKING_TIMEOUT = timedelta(hours=3)
MAX_FETCHES = 3
FINISHED = (Status.READY, Status.FAILED, Status.UNKNOWN)


async def process_due(now: datetime) -> None:
    """Take the next step with every video that is due."""
    claimed = await in_thread(_claim)(now)
    await asyncio.gather(*(_try_step(video) for video in claimed))


async def _try_step(video: Video) -> None:
    with each_row.log_failure(f"video {video.pk}: its next step failed"):
        await STEPS[Status(video.status)](video, providers.for_account(video.avatar.account))


def _claim(now: datetime) -> list[Video]:
    return due_rows.claim(
        Video.objects.select_related("avatar__account", "voice").due(now),
        VIDEOS_IN_PARALLEL,
        due_at=now + CLAIM_DURATION,
    )


@transaction.atomic
def order(video: Video, actor: Actor) -> None:
    """Store a new video, which the worker orders."""
    video.save(force_insert=True)
    stated = statements.state(VIDEO, Video.objects.get(pk=video.pk))
    changes: change_log.Changes = {"status": ["", str(video.status)]}
    change_log.record(actor, AuditEntry.Kind.VIDEO_ORDERED, video, changes, stated)


def order_again(video: Video, actor: Actor) -> bool:
    """Queue another order, which may cost credits again.

    Return whether the video's status allowed it.
    """
    finished = Video.objects.filter(pk=video.pk, status__in=(Status.FAILED, Status.UNKNOWN))
    return _continue(finished, Status.WAITING, actor, AuditEntry.Kind.VIDEO_ORDERED)


def check_again(video: Video, actor: Actor) -> bool:
    """Poll an ordered video again, free of charge.

    Return whether the video's status allowed it.
    """
    final = Video.objects.filter(pk=video.pk, status__in=(Status.FAILED, Status.READY), file="")
    return _continue(final.exclude(provider_video_id=""), Status.MAKING, actor)


def fetch(video: Video, actor: Actor) -> bool:
    """Queue the download of a ready video. Return whether there was one to fetch.

    Idempotent.
    """
    unfetched = Video.objects.filter(pk=video.pk, status=Status.READY, file="")
    return _continue(unfetched, Status.FETCHING, actor)


@transaction.atomic
def _continue(
    rows: QuerySet[Video], status: Status, actor: Actor, kind: AuditEntry.Kind = AuditEntry.Kind.VIDEO_STATE
) -> bool:
    """Give one finished video to the worker again. Return whether it was there."""
    before = rows.select_for_update().first()
    if before is None:
        return False
    Video.objects.filter(pk=before.pk).update(**_status_change(status))
    _state_progress(before, actor, kind)
    return True


def _state_progress(before: Video, actor: Actor, kind: AuditEntry.Kind) -> None:
    """Append an audit entry that states a video's progress, which has changed since `before`."""
    video = Video.objects.get(pk=before.pk)
    changes = change_log.diff(before, video, ("status", "failure"))
    change_log.record(actor, kind, video, changes, statements.state(VIDEO, video, *sorted(VIDEO.progress.columns)))


def _status_change(status: Status, *, pause: timedelta = timedelta(0), **changes: Any) -> dict[str, Any]:
    """Return the column values for a new status."""
    now = timezone.now()
    is_over = status in FINISHED
    reset = {"failure": "", "failure_detail": "", "since": now, "polls": 0}
    return reset | {"status": status, "due_at": None if is_over else now + pause} | changes


async def _order(video: Video, provider: Provider) -> None:
    if video.orders and not video.provider_video_id:
        # The earlier order may have been accepted after all. It is paid for then, so use it.
        try:
            found = await provider.find_video(video.reference)
        except CredentialRefused as exc:
            await _fail(video, Failure.KEY_REFUSED, exc)
            return
        except ProviderError as exc:
            await _wait(video, exc, ORDER_TIMEOUT, Failure.AWAY)
            return
        if found:
            await _mark_ordered(video, found)
            return
    if not await in_thread(_record_order)(video):
        return  # another worker has ordered it
    request = VideoRequest(
        avatar_id=video.avatar.provider_avatar_id,
        voice_id=video.provider_voice_id,
        text=video.text,
        title=video.title,
        reference=video.reference,
    )
    try:
        made = await provider.make_video(request)
    except (NotSent, LimitReached) as exc:  # the order was not accepted, so nothing is charged
        await in_thread(_update)(video, status=Status.WAITING, since=video.since)
        await _wait(video, exc, ORDER_TIMEOUT, Failure.FULL if isinstance(exc, LimitReached) else Failure.AWAY)
    except ProviderUnreachable as exc:
        logger.warning("video %s: the answer to its order did not come: %s", video.pk, exc)
        await in_thread(_update)(video, due_at=timezone.now() + FIRST_POLL)
    except ProviderRejected as exc:
        await _fail(video, _refusal(exc), exc)
    else:
        await _mark_ordered(video, made)


def _record_order(video: Video) -> bool:
    """Record the order before it is sent.

    Afterwards only the provider knows whether it was accepted.
    """
    unordered = Video.objects.filter(pk=video.pk, status=Status.WAITING, orders=video.orders)
    video.orders += 1
    changes = _status_change(Status.ORDERING, pause=CLAIM_DURATION, orders=video.orders, provider_video_id="")
    return bool(unordered.update(**changes))


async def _mark_ordered(video: Video, provider_video_id: str) -> None:
    changes = _status_change(Status.MAKING, pause=FIRST_POLL, provider_video_id=provider_video_id)
    await in_thread(_update)(video, **changes)


def _refusal(exc: ProviderRejected) -> Failure:
    if isinstance(exc, CredentialRefused):
        return Failure.KEY_REFUSED
    return Failure.NO_CREDITS if isinstance(exc, OutOfCredits) else Failure.REFUSED


async def _find_order(video: Video, provider: Provider) -> None:
    """Look up an order in the provider's list after its answer was lost."""
    try:
        found = await provider.find_video(video.reference)
    except ProviderError as exc:
        await _wait(video, exc, LOST_TIMEOUT, Failure.LOST)
        return
    if found:
        await _mark_ordered(video, found)
    else:
        await _wait(video, None, LOST_TIMEOUT, Failure.LOST)


async def _poll(video: Video, provider: Provider) -> None:
    try:
        reported = await provider.video_status(video.provider_video_id)
    except (CredentialRefused, LimitReached, ProviderUnreachable) as exc:
        await _wait(video, exc, MAKING_TIMEOUT, Failure.OVERDUE)
    except ProviderError as exc:
        await _fail(video, Failure.GONE, exc)
    else:
        await _apply_status(video, reported)


async def _apply_status(video: Video, reported: VideoStatus) -> None:
    match reported.state:
        case VideoState.MAKING:
            await _wait(video, None, MAKING_TIMEOUT, Failure.OVERDUE)
        case VideoState.FAILED:
            await _fail(video, Failure.BROKEN, reported.detail)
        case VideoState.READY:
            changes = _status_change(Status.READY, ready_at=timezone.now())
            details = {"url": reported.url, "duration": reported.duration, "credits": reported.credits}
            await in_thread(_update)(video, **changes | details)


async def _fetch(video: Video, provider: Provider) -> None:
    """Download the file from a fresh URL, because URLs expire, and store it."""
    try:
        reported = await provider.video_status(video.provider_video_id)
        if reported.state is not VideoState.READY:
            raise ProviderRejected("the provider has no file of it")
        with tempfile.TemporaryFile() as body:
            await provider.save_video(reported.url, body)
            try:
                await asyncio.to_thread(disclosure.mark, body)
            except disclosure.NotAnMp4 as exc:  # the portal serves it, so it must not be anything else
                raise ProviderRejected("what the provider sent is no complete MP4") from exc
            name = await asyncio.to_thread(_store, video, body)
        await in_thread(_update)(video, **_status_change(Status.READY, file=name, url=reported.url))
    except ProviderError as exc:
        if isinstance(exc, ProviderUnreachable) and video.polls + 1 < MAX_FETCHES:
            await _pause(video)
        else:
            changes = _status_change(Status.READY, failure=Failure.NOT_FETCHED, failure_detail=_one_line(exc))
            await in_thread(_update)(video, **changes)


def _store(video: Video, body: BinaryIO) -> str:
    """Store the file and return its name in the storage."""
    body.seek(0)
    name = f"{video.pk}.mp4"
    storage, field = video.file.storage, video.file.field
    # Remove a partial file of a worker that died here.
    storage.delete(field.generate_filename(video, name))
    video.file.save(name, File(body), save=False)
    return str(video.file.name)


async def _wait(video: Video, exc: ProviderError | None, limit: timedelta, failure: Failure) -> None:
    """Poll again later with back-off, or fail after `limit` in the current status."""
    if timezone.now() - video.since > limit:
        await _fail(video, failure, exc or "")
        return
    if exc:
        logger.warning("video %s: %s", video.pk, exc)
    await _pause(video)


async def _pause(video: Video) -> None:
    pause = min(FIRST_POLL * 1.5 ** min(video.polls, 20), MAX_PAUSE)
    spread = pause * random.uniform(0.8, 1.2)
    await in_thread(_update)(video, due_at=timezone.now() + spread, polls=video.polls + 1)


async def _fail(video: Video, failure: Failure, exc: ProviderError | str) -> None:
    status = Status.UNKNOWN if failure is Failure.LOST else Status.FAILED
    await in_thread(_update)(video, **_status_change(status, failure=failure, failure_detail=_one_line(exc)))


def _one_line(exc: ProviderError | str) -> str:
    return " ".join(str(exc).split())[:300]


def _update(video: Video, **changes: Any) -> None:
    """Store the outcome of a step, unless the video was ordered again meanwhile."""
    with transaction.atomic():
        rows = Video.objects.filter(pk=video.pk, orders=video.orders)
        if changes.get("status") not in FINISHED:
            rows.update(**changes)
        elif before := rows.select_for_update().first():
            rows.update(**changes)
            _state_progress(before, SERVER, AuditEntry.Kind.VIDEO_STATE)


STEPS = {
    Status.WAITING: _order,
    Status.ORDERING: _find_order,
    Status.MAKING: _poll,
    Status.FETCHING: _fetch,
}
