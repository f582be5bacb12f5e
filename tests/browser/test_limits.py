"""Sessions that worker and beat end while no page is open."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.browser.injected_faults import PEOPLE
from tests.browser.room_page import Stage
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]


async def test_worker_and_beat_end_an_idle_session_and_one_at_its_limit(stage: Stage) -> None:
    """Complaints 2 and 5: the tabs stay open, and nothing but the time passes."""
    personas = {"idle": "still", "duration_limit": "fleeting"}
    cookies = json.loads(stage.portal.manage("shell", "-v0", "-c", PEOPLE.format(names=list(personas))))
    async with asyncio.TaskGroup() as group:
        ends = {
            reason: group.create_task(end_of_session(stage, cookies[reason], slug)) for reason, slug in personas.items()
        }
    assert {reason: end.result()["reason"] for reason, end in ends.items()} == {name: name for name in personas}


async def end_of_session(stage: Stage, cookie: str, slug: str) -> dict[str, Any]:
    """Start a session, report its first frame, and return the message of its end."""
    headers = {"Cookie": f"sessionid={cookie}", "Origin": stage.portal.url}
    address = f"{stage.portal.url}/ws/personas/{slug}/?lang=en"
    async with (
        asyncio.timeout(WAIT_TIMEOUT_S),
        aiohttp.ClientSession(headers=headers) as http,
        http.ws_connect(address) as tab,
    ):
        await tab.send_json({"type": "session.start"})
        while True:
            message: dict[str, Any] = await tab.receive_json()
            if message["type"] == "session.room":
                await tab.send_json({"type": "event.report", "kind": "first_frame", "data": {}})
            if message["type"] == "error":
                pytest.fail(str(message))
            if message.get("status") == "ended":
                return message
