"""HeyGen's Video API: renders a text to an MP4 within minutes.

docs/providers.md describes the wire.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from heygen_portal.providers.contract.videos import VideoRequest, VideoState, VideoStatus
from heygen_portal.providers.http import parsing
from heygen_portal.providers.http.client import SLOW_ANSWER_SECONDS, ApiClient

MAX_TEXT_CHARACTERS = 5000
VIDEO_SIZE = {"width": 1280, "height": 720}
MAX_PAGES = 5  # the list is newest first, so recent orders are on the first pages
PAGE_ROWS = 100
MAX_URL_CHARACTERS = 2000


async def make(client: ApiClient, request: VideoRequest) -> str:
    """Order a video and return its ID."""
    body = {
        # Old versions of the list have the title but no callback_id, so both carry the reference.
        "title": f"{request.title} [{request.reference}]",
        "callback_id": request.reference,
        "dimension": VIDEO_SIZE,
        "video_inputs": [
            {
                "character": {"type": "avatar", "avatar_id": request.avatar_id, "avatar_style": "normal"},
                "voice": {"type": "text", "voice_id": request.voice_id, "input_text": request.text},
            }
        ],
    }
    made = await client.post("/v2/video/generate", body, within=SLOW_ANSWER_SECONDS, may_quote=False)
    return parsing.identifier(parsing.mapping(made).get("video_id"), "video/generate: data.video_id")


async def status(client: ApiClient, video_id: str) -> VideoStatus:
    data = parsing.mapping(await client.get("/v1/video_status.get", {"video_id": video_id}))
    url = _video_url(data.get("video_url"))
    duration = parsing.duration(data.get("duration"), timedelta(seconds=1))
    match parsing.text(data.get("status")):
        case "completed" if url:
            return VideoStatus(VideoState.READY, duration=duration, url=url)
        case "failed":
            return VideoStatus(VideoState.FAILED, detail=_failure_detail(data.get("error")))
    return VideoStatus(VideoState.MAKING)


async def find(client: ApiClient, reference: str) -> str:
    """Return the ID of the video ordered with `reference`, or "" if it is not listed."""
    token = ""
    for _ in range(MAX_PAGES):
        page = await client.get("/v1/video.list", parsing.without_empty({"limit": PAGE_ROWS, "token": token}))
        for row in parsing.rows(page, "videos", key="video_id"):
            title = parsing.text(row.get("video_title") or row.get("title"))
            if row.get("callback_id") == reference or title.endswith(f"[{reference}]"):
                return parsing.identifier(row["video_id"], "video.list: video_id")
        token = parsing.text(parsing.mapping(page).get("token"))
        if not token:
            break
    return ""


def _video_url(url: Any) -> str:
    found = parsing.text(url)
    return found if found.startswith(("https://", "http://")) and len(found) <= MAX_URL_CHARACTERS else ""


def _failure_detail(error: Any) -> str:
    data = parsing.mapping(error)
    words = parsing.text(data.get("detail")) or parsing.text(data.get("message")) or parsing.text(error)
    return " ".join(filter(None, (words, parsing.text(data.get("code")))))[: parsing.MAX_MESSAGE_CHARACTERS]
