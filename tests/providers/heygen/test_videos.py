"""Recorded videos of the HeyGen client."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from heygen_portal.providers.contract.videos import VideoRequest, VideoState
from heygen_portal.providers.heygen.provider import HeyGen
from tests.providers.heygen_wire import Wire

VIDEO = VideoRequest("A1", "V1", "Lo que dice", "Bienvenida", "ref-1")


async def test_a_video_is_ordered_with_our_reference(heygen: HeyGen, wire: Wire) -> None:
    """Requirement 74."""
    wire.overrides["/v2/video/generate"] = httpx.Response(200, json={"error": None, "data": {"video_id": "v-1"}})
    assert await heygen.make_video(VIDEO) == "v-1"
    sent = json.loads(wire.requests[-1].content)
    assert (sent["callback_id"], sent["title"]) == ("ref-1", "Bienvenida [ref-1]")
    assert sent["video_inputs"][0]["voice"] == {"type": "text", "voice_id": "V1", "input_text": "Lo que dice"}


async def test_a_video_is_found_on_a_later_page_by_title_or_callback_id(heygen: HeyGen, wire: Wire) -> None:
    rows = [{"video_id": "v-1", "video_title": "Bienvenida [ref-1]"}, {"video_id": "v-2", "callback_id": "ref-2"}]

    def page(request: httpx.Request) -> httpx.Response:
        second = request.url.params.get("token") == "more"
        data = {"videos": rows, "token": None} if second else {"videos": [{"video_id": "v-0"}], "token": "more"}
        return httpx.Response(200, json={"code": 100, "data": data})

    wire.overrides["/v1/video.list"] = page
    assert [await heygen.find_video(reference) for reference in ("ref-1", "ref-2", "ref-3")] == ["v-1", "v-2", ""]


async def test_the_search_for_a_video_ends_although_the_list_does_not(heygen: HeyGen, wire: Wire) -> None:
    data = {"videos": [{"video_id": "v-0"}], "token": "more"}
    wire.overrides["/v1/video.list"] = httpx.Response(200, json={"code": 100, "data": data})
    assert await heygen.find_video("ref-1") == ""


@pytest.mark.parametrize(
    ("data", "state"),
    [
        ({"status": "completed", "video_url": "https://cdn.test/1.mp4", "duration": 2.5}, VideoState.READY),
        ({"status": "completed", "video_url": "javascript:alert(1)"}, VideoState.MAKING),
        ({"status": ["completed"]}, VideoState.MAKING),
        ({"status": "waiting"}, VideoState.MAKING),
        ({"status": "failed", "error": {"code": 40119, "detail": "too long"}}, VideoState.FAILED),
    ],
)
async def test_a_malformed_video_status_is_not_trusted(
    heygen: HeyGen, wire: Wire, data: dict[str, Any], state: VideoState
) -> None:
    wire.overrides["/v1/video_status.get"] = httpx.Response(200, json={"code": 100, "data": data})
    status = await heygen.video_status("v-1")
    assert status.state is state
    assert status.detail == ("too long 40119" if state is VideoState.FAILED else "")
