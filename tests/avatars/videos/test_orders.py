"""A recorded video is ordered once, survives restarts, and is fetched on demand.

Requirement 74.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO
from unittest.mock import AsyncMock, Mock

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from avatars.models import Video
from avatars.videos import disclosure, orders
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
from heygen_portal.providers.contract.videos import VideoState, VideoStatus
from heygen_portal.trail.change_log import SERVER
from tests.support.factories import VideoFactory

pytestmark = pytest.mark.django_db(transaction=True)

MP4 = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x0cmdatfilm"
READY = VideoStatus(
    VideoState.READY, duration=timedelta(seconds=4), credits=Decimal("0.5"), url="https://cdn.test/1.mp4?sig=1"
)
MAKING = VideoStatus(VideoState.MAKING)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """A provider that accepts every order and is ready at the second poll."""
    stand_in = Mock(spec=Provider)
    stand_in.make_video = AsyncMock(return_value="their-video")
    stand_in.find_video = AsyncMock(return_value="")
    stand_in.video_status = AsyncMock(side_effect=[MAKING, READY, READY])
    stand_in.save_video = AsyncMock(side_effect=writes_file(MP4))
    monkeypatch.setattr(providers, "for_account", lambda account: stand_in)
    return stand_in


def writes_file(body: bytes) -> Any:
    async def save(url: str, into: BinaryIO) -> None:
        into.write(body)

    return save


@sync_to_async
def make_video_row(**changes: Any) -> Video:
    return VideoFactory.create(**changes)


async def run_worker(video: Video, times: int = 1, later: timedelta = timedelta(minutes=2)) -> Video:
    """Run the worker several times, each time after the row is due.

    Return the video.
    """
    for _ in range(times):
        await orders.process_due(timezone.now() + later)
    await video.arefresh_from_db()
    return video


async def backdate(video: Video, by: timedelta) -> None:
    await Video.objects.filter(pk=video.pk).aupdate(since=timezone.now() - by)


async def test_a_text_becomes_a_video_whose_file_is_fetched_on_demand(provider: Mock) -> None:
    video = await make_video_row()
    avatar_id = video.avatar.provider_avatar_id
    await run_worker(video)
    request = provider.make_video.await_args.args[0]
    assert (request.text, request.avatar_id) == (video.text, avatar_id)
    assert request.reference == video.reference
    await run_worker(video, 2)
    assert (video.status, video.url, video.duration, video.credits) == (
        "ready",
        READY.url,
        timedelta(seconds=4),
        Decimal("0.5"),
    )
    assert not video.file
    assert not provider.save_video.called
    assert await sync_to_async(orders.fetch)(video, SERVER)
    await run_worker(video)
    stored = await sync_to_async(Path(video.file.path).read_bytes)()
    assert stored.startswith(MP4)
    assert disclosure.DIGITAL_SOURCE_TYPE.encode() in stored
    assert provider.make_video.await_count == 1


async def test_only_due_videos_are_polled_with_growing_pauses(provider: Mock) -> None:
    provider.video_status.side_effect = None
    provider.video_status.return_value = MAKING
    video = await run_worker(await make_video_row())
    await run_worker(video, later=timedelta(0))
    assert not provider.video_status.called
    pauses: list[timedelta] = []
    for _ in range(9):
        before = timezone.now()
        await run_worker(video)
        assert video.due_at
        pauses.append(video.due_at - before)
    assert pauses[4] > pauses[0]
    assert max(pauses) < timedelta(seconds=75)


async def test_an_order_of_a_killed_worker_is_found_not_repeated(provider: Mock) -> None:
    """The row is as a worker leaves it when killed between the order and its answer."""
    video = await make_video_row(status="ordering", orders=1)
    provider.find_video.return_value = "their-video"
    await run_worker(video, 3)
    provider.find_video.assert_awaited_once_with(f"{video.pk.hex}-1")
    assert (video.status, video.provider_video_id) == ("ready", "their-video")
    assert not provider.make_video.called


async def test_a_row_of_a_dead_worker_is_due_again_after_its_claim(provider: Mock) -> None:
    class Killed(BaseException):
        pass

    provider.make_video.side_effect = Killed
    video = await make_video_row()
    with pytest.raises(Killed):
        await orders.process_due(timezone.now())
    await run_worker(video, later=timedelta(seconds=30))
    assert not provider.find_video.called  # its answer may still be under way
    provider.find_video.return_value = "their-video"
    assert (await run_worker(video)).status == "making"
    assert provider.make_video.await_count == 1


async def test_a_lost_order_becomes_unknown_and_waits_for_staff(provider: Mock) -> None:
    provider.make_video.side_effect = ProviderUnreachable("the answer did not come")
    video = await run_worker(await make_video_row(), 3)
    assert video.status == "ordering"
    await backdate(video, orders.LOST_TIMEOUT)
    await run_worker(video, 5)
    assert (video.status, video.failure, video.due_at) == ("unknown", "lost", None)
    assert provider.make_video.await_count == 1


async def test_ordering_again_first_searches_for_the_earlier_order(provider: Mock) -> None:
    video = await make_video_row(status="unknown", failure="lost", due_at=None, orders=1)
    assert await sync_to_async(orders.order_again)(video, SERVER)
    provider.find_video.return_value = "their-video"
    assert (await run_worker(video)).status == "making"
    assert not provider.make_video.called


async def test_ordering_again_uses_a_new_reference(provider: Mock) -> None:
    video = await make_video_row(status="unknown", failure="lost", due_at=None, orders=1)
    await sync_to_async(orders.order_again)(video, SERVER)
    assert (await run_worker(video)).status == "making"
    assert provider.make_video.await_args.args[0].reference == f"{video.pk.hex}-2"
    assert not await sync_to_async(orders.order_again)(video, SERVER)


@pytest.mark.parametrize(("exc", "failure"), [(NotSent("away"), "away"), (LimitReached("full"), "full")])
async def test_an_unsent_order_is_retried_automatically(provider: Mock, exc: ProviderError, failure: str) -> None:
    provider.make_video.side_effect = exc
    video = await run_worker(await make_video_row(), 2)
    assert (video.status, provider.make_video.await_count) == ("waiting", 2)
    await backdate(video, orders.ORDER_TIMEOUT)
    assert ((await run_worker(video)).status, video.failure) == ("failed", failure)


@pytest.mark.parametrize(
    ("exc", "failure"),
    [
        (CredentialRefused("no"), "key_refused"),
        (OutOfCredits("no"), "no_credits"),
        (ProviderRejected("avatar not found"), "refused"),
    ],
)
async def test_a_refused_order_explains_what_to_do(provider: Mock, exc: ProviderError, failure: str) -> None:
    provider.make_video.side_effect = exc
    video = await run_worker(await make_video_row())
    assert (video.status, video.failure, video.failure_detail) == ("failed", failure, str(exc))
    assert "vuelve a encargar" in video.get_failure_display()


async def test_a_failed_video_shows_its_cause_and_can_be_ordered_again(provider: Mock) -> None:
    provider.video_status.side_effect = None
    provider.video_status.return_value = VideoStatus(VideoState.FAILED, detail="Video is too long 40119")
    video = await run_worker(await make_video_row(), 2)
    assert (video.failure, video.failure_detail) == ("broken", "Video is too long 40119")
    await sync_to_async(orders.order_again)(video, SERVER)
    await run_worker(video)
    assert not provider.find_video.called
    assert provider.make_video.await_count == 2


async def test_an_overdue_video_fails_and_can_be_checked_again(provider: Mock) -> None:
    provider.video_status.side_effect = [MAKING, READY]
    video = await run_worker(await make_video_row())
    await backdate(video, orders.MAKING_TIMEOUT)
    assert ((await run_worker(video)).status, video.failure) == ("failed", "overdue")
    assert await sync_to_async(orders.check_again)(video, SERVER)
    assert (await run_worker(video)).status == "ready"
    assert provider.make_video.await_count == 1


async def make_fetching_video(provider: Mock) -> Video:
    video = await run_worker(await make_video_row(), 3)
    provider.video_status.side_effect = None
    provider.video_status.return_value = READY
    assert await sync_to_async(orders.fetch)(video, SERVER)
    return video


async def test_a_file_that_is_not_a_video_is_not_stored(provider: Mock) -> None:
    video = await make_fetching_video(provider)
    provider.save_video.side_effect = writes_file(b"<html>expired</html>")
    await run_worker(video)
    assert (video.status, video.failure, video.file.name) == ("ready", "not_fetched", "")


async def test_a_broken_download_is_retried_a_few_times(provider: Mock) -> None:
    video = await make_fetching_video(provider)
    provider.save_video.side_effect = ProviderUnreachable("cut")
    assert (await run_worker(video)).status == "fetching"
    await run_worker(video, 2)
    assert (video.status, video.failure) == ("ready", "not_fetched")
    provider.save_video.side_effect = writes_file(MP4)
    assert await sync_to_async(orders.fetch)(video, SERVER)
    assert (await run_worker(video)).file
    assert not video.failure


async def test_two_workers_never_claim_the_same_video(provider: Mock) -> None:
    await make_video_row()
    now: datetime = timezone.now()
    await orders.process_due(now)
    await orders.process_due(now)
    assert provider.make_video.await_count == 1
