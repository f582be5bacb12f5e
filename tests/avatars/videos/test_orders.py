"""A recorded video is ordered once, looked after through restarts, and fetched on demand. Requirement 74."""

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
from avatars.videos import orders
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
from tests.support.factories import VideoFactory

pytestmark = pytest.mark.django_db(transaction=True)

MP4 = b"\0\0\0\x18ftypisom" + b"film"
READY = VideoStatus(
    VideoState.READY, duration=timedelta(seconds=4), credits=Decimal("0.5"), url="https://cdn.test/1.mp4?sig=1"
)
MAKING = VideoStatus(VideoState.MAKING)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """A provider that takes every order and is ready at the second look."""
    stand_in = Mock(spec=Provider)
    stand_in.make_video = AsyncMock(return_value="their-video")
    stand_in.find_video = AsyncMock(return_value="")
    stand_in.video_status = AsyncMock(side_effect=[MAKING, READY, READY])
    stand_in.save_video = AsyncMock(side_effect=sends(MP4))
    monkeypatch.setattr(providers, "for_account", lambda account: stand_in)
    return stand_in


def sends(body: bytes) -> Any:
    async def save(url: str, into: BinaryIO) -> None:
        into.write(body)

    return save


@sync_to_async
def ordered(**changes: Any) -> Video:
    return VideoFactory.create(**changes)


async def look(video: Video, times: int = 1, later: timedelta = timedelta(minutes=2)) -> Video:
    """What so many looks of a worker make of it, each once its moment has come."""
    for _ in range(times):
        await orders.look_after(timezone.now() + later)
    await video.arefresh_from_db()
    return video


async def aged(video: Video, by: timedelta) -> None:
    await Video.objects.filter(pk=video.pk).aupdate(since=timezone.now() - by)


async def test_a_text_becomes_a_link_and_on_demand_a_file(provider: Mock) -> None:
    video = await ordered()
    avatar_id = video.avatar.provider_avatar_id
    await look(video)
    request = provider.make_video.await_args.args[0]
    assert (request.text, request.avatar_id) == (video.text, avatar_id)
    assert request.reference == video.reference
    await look(video, 2)
    assert (video.status, video.url, video.duration, video.credits) == (
        "ready",
        READY.url,
        timedelta(seconds=4),
        Decimal("0.5"),
    )
    assert not video.file
    assert not provider.save_video.called
    assert await sync_to_async(orders.fetch)(video)
    await look(video)
    assert await sync_to_async(Path(video.file.path).read_bytes)() == MP4
    assert provider.make_video.await_count == 1


async def test_what_is_not_due_is_left_alone_and_pauses_grow(provider: Mock) -> None:
    provider.video_status.side_effect = None
    provider.video_status.return_value = MAKING
    video = await look(await ordered())
    await look(video, later=timedelta(0))
    assert not provider.video_status.called
    pauses: list[timedelta] = []
    for _ in range(9):
        before = timezone.now()
        await look(video)
        assert video.due_at
        pauses.append(video.due_at - before)
    assert pauses[4] > pauses[0]
    assert max(pauses) < timedelta(seconds=75)


async def test_an_order_whose_worker_was_killed_is_found_and_not_sent_again(provider: Mock) -> None:
    """The row as a worker leaves it that dies between the order and its answer."""
    video = await ordered(status="ordering", orders=1)
    provider.find_video.return_value = "their-video"
    await look(video, 3)
    provider.find_video.assert_awaited_once_with(f"{video.pk.hex}-1")
    assert (video.status, video.provider_video_id) == ("ready", "their-video")
    assert not provider.make_video.called


async def test_a_worker_that_dies_in_the_middle_leaves_the_row_claimed_and_then_due(provider: Mock) -> None:
    class Killed(BaseException):
        pass

    provider.make_video.side_effect = Killed
    video = await ordered()
    with pytest.raises(Killed):
        await orders.look_after(timezone.now())
    await look(video, later=timedelta(seconds=30))
    assert not provider.find_video.called  # its answer may still be under way
    provider.find_video.return_value = "their-video"
    assert (await look(video)).status == "making"
    assert provider.make_video.await_count == 1


async def test_a_lost_answer_that_the_list_does_not_know_is_unknown_and_waits_for_a_person(provider: Mock) -> None:
    provider.make_video.side_effect = ProviderUnreachable("the answer did not come")
    video = await look(await ordered(), 3)
    assert video.status == "ordering"
    await aged(video, orders.LOST_PATIENCE)
    await look(video, 5)
    assert (video.status, video.failure, video.due_at) == ("unknown", "lost", None)
    assert provider.make_video.await_count == 1


async def test_pressed_again_it_is_looked_for_once_more_before_it_is_paid_for(provider: Mock) -> None:
    video = await ordered(status="unknown", failure="lost", due_at=None, orders=1)
    assert await sync_to_async(orders.order_again)(video)
    provider.find_video.return_value = "their-video"
    assert (await look(video)).status == "making"
    assert not provider.make_video.called


async def test_pressed_again_and_not_there_it_is_ordered_under_another_name(provider: Mock) -> None:
    video = await ordered(status="unknown", failure="lost", due_at=None, orders=1)
    await sync_to_async(orders.order_again)(video)
    assert (await look(video)).status == "making"
    assert provider.make_video.await_args.args[0].reference == f"{video.pk.hex}-2"
    assert not await sync_to_async(orders.order_again)(video)


@pytest.mark.parametrize(("exc", "failure"), [(NotSent("away"), "away"), (LimitReached("full"), "full")])
async def test_what_never_reached_it_or_found_no_place_is_ordered_again_by_itself(
    provider: Mock, exc: ProviderError, failure: str
) -> None:
    provider.make_video.side_effect = exc
    video = await look(await ordered(), 2)
    assert (video.status, provider.make_video.await_count) == ("waiting", 2)
    await aged(video, orders.ORDER_PATIENCE)
    assert ((await look(video)).status, video.failure) == ("failed", failure)


@pytest.mark.parametrize(
    ("exc", "failure"),
    [
        (CredentialRefused("no"), "key_refused"),
        (OutOfCredits("no"), "no_credits"),
        (ProviderRejected("avatar not found"), "refused"),
    ],
)
async def test_a_refusal_is_said_with_the_way_out(provider: Mock, exc: ProviderError, failure: str) -> None:
    provider.make_video.side_effect = exc
    video = await look(await ordered())
    assert (video.status, video.failure, video.failure_detail) == ("failed", failure, str(exc))
    assert "vuelve a encargar" in video.get_failure_display()


async def test_a_video_that_failed_there_says_why_and_a_new_order_is_a_new_one(provider: Mock) -> None:
    provider.video_status.side_effect = None
    provider.video_status.return_value = VideoStatus(VideoState.FAILED, detail="Video is too long 40119")
    video = await look(await ordered(), 2)
    assert (video.failure, video.failure_detail) == ("broken", "Video is too long 40119")
    await sync_to_async(orders.order_again)(video)
    await look(video)
    assert not provider.find_video.called
    assert provider.make_video.await_count == 2


async def test_one_that_takes_too_long_is_given_up_and_looking_again_costs_nothing(provider: Mock) -> None:
    provider.video_status.side_effect = [MAKING, READY]
    video = await look(await ordered())
    await aged(video, orders.MAKING_PATIENCE)
    assert ((await look(video)).status, video.failure) == ("failed", "overdue")
    assert await sync_to_async(orders.look_again)(video)
    assert (await look(video)).status == "ready"
    assert provider.make_video.await_count == 1


async def fetching(provider: Mock) -> Video:
    video = await look(await ordered(), 3)
    provider.video_status.side_effect = None
    provider.video_status.return_value = READY
    assert await sync_to_async(orders.fetch)(video)
    return video


async def test_what_is_no_film_is_not_stored(provider: Mock) -> None:
    video = await fetching(provider)
    provider.save_video.side_effect = sends(b"<html>expired</html>")
    await look(video)
    assert (video.status, video.failure, video.file.name) == ("ready", "not_fetched", "")


async def test_a_download_that_breaks_is_tried_again_and_then_left_to_the_button(provider: Mock) -> None:
    video = await fetching(provider)
    provider.save_video.side_effect = ProviderUnreachable("cut")
    assert (await look(video)).status == "fetching"
    await look(video, 2)
    assert (video.status, video.failure) == ("ready", "not_fetched")
    provider.save_video.side_effect = sends(MP4)
    assert await sync_to_async(orders.fetch)(video)
    assert (await look(video)).file
    assert not video.failure


async def test_two_workers_never_take_the_same_row(provider: Mock) -> None:
    await ordered()
    now: datetime = timezone.now()
    await orders.look_after(now)
    await orders.look_after(now)
    assert provider.make_video.await_count == 1
