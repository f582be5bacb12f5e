"""Bytes and round trips of the room page before Start is pressed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.browser.room_page import RoomPage, Stage

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

# Bytes on the wire, headers included.
MAX_BYTES = 250_000


async def test_the_page_loads_at_most_250_kilobytes_before_start(chromium: Browser, stage: Stage) -> None:
    async with RoomPage.opened(chromium, stage) as room:
        line = await room.page.context.new_cdp_session(room.page)
        await line.send("Network.enable")
        await line.send("Network.setCacheDisabled", {"cacheDisabled": True})
        weights: dict[str, float] = {}
        answers: dict[str, dict[str, Any]] = {}
        line.on("Network.loadingFinished", lambda it: weights.update({it["requestId"]: it["encodedDataLength"]}))
        line.on("Network.responseReceived", lambda it: answers.update({it["requestId"]: it["response"]}))
        await room.page.reload(wait_until="networkidle")
        assert sum(weights.values()) <= MAX_BYTES, {answers[name]["url"]: size for name, size in weights.items()}
        page = await (await room.page.request.get(room.page.url)).text()
        static = [answer for answer in answers.values() if "/static/" in answer["url"]]
        assert len(static) > 20
        for answer in static:
            name = answer["url"].removeprefix(stage.portal.url)
            assert name.partition("#")[0] in page, f"{name} is found out only on the way"
            assert re.search(r"\.[0-9a-f]{12}\.", name)
            headers = {key.lower(): value for key, value in answer["headers"].items()}
            assert "immutable" in headers["cache-control"]
            assert headers.get("content-encoding") == "br" or name.endswith(".svg")
