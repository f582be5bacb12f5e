"""The control page in a browser."""

from __future__ import annotations

import pytest
from playwright.async_api import ConsoleMessage

from tests.emulator.wire import AVATAR, Wire
from tests.support import servers
from tests.support.browsing import browser

pytestmark = pytest.mark.browser


async def test_the_control_page_lists_sessions_and_injects_a_fault(
    quiet_emulator: servers.Emulator, wire: Wire
) -> None:
    session_id = wire.session("connected")
    async with browser() as chromium:
        page = await chromium.new_page()
        complaints: list[str] = []

        def note(message: ConsoleMessage) -> None:
            if message.type == "error" and "status of 400" not in message.text:  # the refusal below
                complaints.append(message.text)

        page.on("console", note)
        await page.goto(f"{quiet_emulator.url}/_emulator/")
        row = page.locator("#sessions tr", has_text=session_id[:8])
        assert AVATAR in await row.inner_text()

        await row.get_by_role("button", name="Black video").click()
        await page.get_by_role("combobox").select_option("answer")
        await page.get_by_label("Values").fill('{"error": "rate_limit"}')
        await page.get_by_role("button", name="Inject", exact=True).click()
        await page.locator("#faults li", has_text="rate_limit").wait_for()
        assert wire.seen(session_id)["faults"]["black"]
        assert wire.call("streaming.new", {}).status_code == 429
        async with page.expect_response("**/faults"):
            await row.get_by_role("button", name="Remove faults").click()
        assert not wire.seen(session_id)["faults"]["black"]

        await page.get_by_label("Values").fill('{"status": 7}')
        await page.get_by_role("button", name="Inject", exact=True).click()
        assert "200 to 599" in await page.locator("#error:not(:empty)").inner_text()

        await page.get_by_role("button", name="+10 min").click()
        await row.wait_for(state="detached")
        assert complaints == []
