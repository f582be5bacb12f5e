"""The page and file of a recorded video. Without permission, both are not found."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from avatars.models import Video
from avatars.videos import orders
from heygen_portal.people.access import roles
from heygen_portal.runtime import file_responses
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.trail.change_log import Actor

MAX_AGE_SECONDS = 3600


@require_safe
def video(request: HttpRequest, video_id: UUID) -> HttpResponse:
    """Play the video, or show its status until the file is there."""
    return render(request, "avatars/video.html", {"video": _find(request, video_id)})


def fetch(request: HttpRequest, video_id: UUID) -> HttpResponse:
    """Queue the download on POST, and redirect to the video's page."""
    found = _find(request, video_id)
    if request.method == "POST":
        orders.fetch(found, Actor.of(request))
    return redirect(found)


@require_safe
async def file(request: HttpRequest, video_id: UUID) -> HttpResponseBase:
    """Send the MP4, whole or as a range.

    Safari only plays videos that support ranges.
    """
    stored = (await in_thread(_find)(request, video_id)).file
    if not stored:
        raise Http404
    try:
        return await file_responses.send_file(
            request, Path(stored.path), "video/mp4", max_age_seconds=MAX_AGE_SECONDS, name="video.mp4"
        )
    except FileNotFoundError as exc:
        raise Http404 from exc


def _find(request: HttpRequest, video_id: UUID) -> Video:
    if not request.user.has_perm(roles.SEE_VIDEOS):
        raise Http404
    return get_object_or_404(Video.objects.select_related("avatar__account", "voice"), pk=video_id)
