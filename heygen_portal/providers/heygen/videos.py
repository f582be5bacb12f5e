"""HeyGen's Video API: a text in, some minutes later an MP4. docs/providers.md is the wire."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from heygen_portal.providers.contract.videos import VideoRequest, VideoState, VideoStatus
from heygen_portal.providers.http import parsing
from heygen_portal.providers.http.client import SLOW_ANSWER_S, Calls

LONGEST_TEXT = 5000
SIZE = {"width": 1280, "height": 720}
MOST_PAGES = 5  # of the list, newest first: what has just been ordered is on the first
PAGE = 100
LONGEST_URL = 2000


async def make(calls: Calls, request: VideoRequest) -> str:
    """Order it; return the ID."""
    body = {
        # Old lists tell a title and no callback_id, so the reference is in both.
        "title": f"{request.title} [{request.reference}]",
        "callback_id": request.reference,
        "dimension": SIZE,
        "video_inputs": [
            {
                "character": {"type": "avatar", "avatar_id": request.avatar_id, "avatar_style": "normal"},
                "voice": {"type": "text", "voice_id": request.voice_id, "input_text": request.text},
            }
        ],
    }
    made = await calls.post("/v2/video/generate", body, within=SLOW_ANSWER_S, may_quote=False)
    return parsing.identifier(parsing.mapping(made).get("video_id"), "video/generate: data.video_id")


async def status(calls: Calls, video_id: str) -> VideoStatus:
    told = parsing.mapping(await calls.get("/v1/video_status.get", {"video_id": video_id}))
    url = _address(told.get("video_url"))
    duration = parsing.duration(told.get("duration"), timedelta(seconds=1))
    match parsing.text(told.get("status")):
        case "completed" if url:
            return VideoStatus(VideoState.READY, duration=duration, url=url)
        case "failed":
            return VideoStatus(VideoState.FAILED, detail=_why(told.get("error")))
    return VideoStatus(VideoState.MAKING)


async def find(calls: Calls, reference: str) -> str:
    """Return the ID of what was ordered under a reference; empty when the list has none."""
    token = ""
    for _ in range(MOST_PAGES):
        page = await calls.get("/v1/video.list", parsing.chosen({"limit": PAGE, "token": token}))
        for row in parsing.rows(page, "videos", key="video_id"):
            title = parsing.text(row.get("video_title") or row.get("title"))
            if row.get("callback_id") == reference or title.endswith(f"[{reference}]"):
                return parsing.identifier(row["video_id"], "video.list: video_id")
        token = parsing.text(parsing.mapping(page).get("token"))
        if not token:
            break
    return ""


def _address(url: Any) -> str:
    found = parsing.text(url)
    return found if found.startswith(("https://", "http://")) and len(found) <= LONGEST_URL else ""


def _why(error: Any) -> str:
    told = parsing.mapping(error)
    words = parsing.text(told.get("detail")) or parsing.text(told.get("message")) or parsing.text(error)
    return " ".join(filter(None, (words, parsing.text(told.get("code")))))[: parsing.LONGEST_MESSAGE]
