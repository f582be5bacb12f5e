"""The page that plays a recorded video, and its file. Both are staff's: to everybody else there is no such address."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from avatars import videos
from avatars.models import Video
from heygen_portal import roles
from heygen_portal.threads import in_thread

PIECE = 256 * 1024


@require_safe
def video(request: HttpRequest, video_id: UUID) -> HttpResponse:
    """Play it; until there is something to play, say how far it is."""
    return render(request, "avatars/video.html", {"video": _find(request, video_id)})


@require_POST
def fetch(request: HttpRequest, video_id: UUID) -> HttpResponse:
    """Have the file fetched from the provider."""
    found = _find(request, video_id)
    videos.fetch(found)
    return redirect(found)


@require_safe
async def file(request: HttpRequest, video_id: UUID) -> HttpResponseBase:
    """The MP4, whole or the part that the player asks for: without parts Safari plays nothing, and nobody can seek."""
    stored = (await in_thread(_find)(request, video_id)).file
    if not stored:
        raise Http404
    size = await asyncio.to_thread(lambda: stored.size)
    part = _part(request.headers.get("Range", ""), size)
    if part is None:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    first, last = part
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=3600",
        "Content-Length": str(last - first + 1),
        "Content-Disposition": 'inline; filename="video.mp4"',
    }
    is_whole = (first, last) == (0, size - 1)
    if not is_whole:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    body = _read(stored.path, first, last - first + 1)
    return StreamingHttpResponse(body, status=200 if is_whole else 206, content_type="video/mp4", headers=headers)


def _find(request: HttpRequest, video_id: UUID) -> Video:
    if not request.user.has_perm(roles.SEE_VIDEOS):
        raise Http404
    return get_object_or_404(Video.objects.select_related("avatar__account", "voice"), pk=video_id)


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """The first and last byte to send: what one range asks for, else all of it; None for a part that is not there."""
    match = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", wanted)
    if match is None or not any(match.groups()):
        return 0, size - 1
    start, end = match.groups()
    if not start:  # so many bytes at the end
        first, last = max(0, size - int(end)), size - 1
    else:
        first, last = int(start), min(int(end), size - 1) if end else size - 1
    return (first, last) if first <= last else None


async def _read(path: str, first: int, length: int) -> AsyncIterator[bytes]:
    """In a thread, piece by piece: neither the loop nor the memory is filled by a film."""
    body = await asyncio.to_thread(open, path, "rb")
    try:
        await asyncio.to_thread(body.seek, first)
        while length > 0 and (piece := await asyncio.to_thread(body.read, min(PIECE, length))):
            length -= len(piece)
            yield piece
    finally:
        body.close()
