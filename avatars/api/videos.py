"""Operations on recorded videos."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path as FilePath
from uuid import UUID

from django.http import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from ninja import Field, Query, Schema
from ninja.responses import Status as Answer

from avatars.models import Video
from avatars.videos import orders
from avatars.videos.forms import VideoForm
from avatars.videos.views import MAX_AGE_SECONDS
from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest import pages, problems
from heygen_portal.rest.operations import ApiRequest, Operations
from heygen_portal.rest.pages import Page, PageQuery
from heygen_portal.rest.schemas import Input, Key, Text
from heygen_portal.runtime import budgets, file_responses
from heygen_portal.runtime.in_thread import in_thread

operations = Operations("Videos")


class VideoOut(Schema):
    """A recorded video, and how far it is."""

    id: UUID
    title: str
    status: str
    failure: str = Field(description="A stable code; empty unless it failed.")
    failure_text: str
    has_file: bool = Field(description="Its file was fetched and can be read.")
    duration_seconds: float | None
    credits: float | None
    created_at: datetime
    ready_at: datetime | None

    @classmethod
    def of(cls, row: Video) -> VideoOut:
        return cls(
            id=row.pk,
            title=row.title,
            status=row.status,
            failure=row.failure,
            failure_text=row.get_failure_display(),
            has_file=bool(row.file),
            duration_seconds=row.duration.total_seconds() if row.duration else None,
            credits=None if row.credits is None else float(row.credits),
            created_at=row.created_at,
            ready_at=row.ready_at,
        )


class NewVideo(Input):
    """A text for an avatar to speak. The provider charges for its length."""

    title: Text = Field(min_length=1, max_length=100)
    text: Text = Field(min_length=1, max_length=50_000)
    avatar: Key
    voice: Key | None = Field(None, description="Without one, the avatar's own voice.")


@operations.get("/videos", scopes=(Scope.VIDEOS_READ,), response=Page[VideoOut])
async def list_videos(request: ApiRequest, query: Query[PageQuery]) -> Page[VideoOut]:
    """List recorded videos, the newest first."""
    return await in_thread(_videos)(query)


def _videos(query: PageQuery) -> Page[VideoOut]:
    found, next_cursor = pages.read(Video.objects.all(), query)
    return Page(items=[VideoOut.of(row) for row in found], next_cursor=next_cursor)


@operations.post("/videos", scopes=(Scope.VIDEOS_ORDER,), response={201: VideoOut}, costs_money=True)
async def order_video(request: ApiRequest, body: NewVideo) -> Answer[VideoOut]:
    """Order a video. The worker sends the order and polls until the video is ready."""
    caller = request.caller
    await budgets.spend("staff_action", person=caller.user_id, address=caller.address)
    return Answer(201, await in_thread(_order)(caller, body))


def _order(caller: Caller, body: NewVideo) -> VideoOut:
    form = VideoForm(body.model_dump())
    if not form.is_valid():
        raise problems.refused_form("video_refused", _("This video is not possible."), form.errors)
    video: Video = form.save(commit=False)
    if caller.is_test and not video.avatar.account.is_emulated:
        raise problems.test_key()
    video.created_by_id = caller.user_id
    orders.order(video, caller.actor)
    return VideoOut.of(video)


@operations.get("/videos/{uuid:video_id}", scopes=(Scope.VIDEOS_READ,), response=VideoOut)
async def get_video(request: ApiRequest, video_id: UUID) -> VideoOut:
    """Return one video."""
    return await in_thread(lambda: VideoOut.of(_video(video_id)))()


@operations.post("/videos/{uuid:video_id}/fetch", scopes=(Scope.VIDEOS_READ,), response=VideoOut)
async def fetch_video(request: ApiRequest, video_id: UUID) -> VideoOut:
    """Have the worker fetch the file of a ready video. Repeating it changes nothing."""
    return await in_thread(_fetch)(request.caller, video_id)


def _fetch(caller: Caller, video_id: UUID) -> VideoOut:
    orders.fetch(_video(video_id), caller.actor)
    return VideoOut.of(_video(video_id))


@operations.get("/videos/{uuid:video_id}/file", scopes=(Scope.VIDEOS_READ,), response={200: None})
async def get_video_file(request: ApiRequest, video_id: UUID) -> HttpResponseBase:
    """Send the MP4 that was fetched, whole or as a range."""
    stored = (await in_thread(_video)(video_id)).file
    if not stored:
        raise problems.not_found()
    try:
        return await file_responses.send_file(
            request, FilePath(stored.path), "video/mp4", max_age_seconds=MAX_AGE_SECONDS, name="video.mp4"
        )
    except FileNotFoundError as exc:
        raise problems.not_found() from exc


def _video(video_id: UUID) -> Video:
    row = Video.objects.filter(pk=video_id).first()
    if row is None:
        raise problems.not_found()
    return row
