"""A conversation in a room of our own LiveKit server.

ROOMS=own runs all other tests there, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from livekit import api
from playwright.async_api import Browser, expect

from tests.browser.room_page import FRAMES, Person, RoomPage, Stage, until
from tests.support import servers

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

OBSERVER_ACCOUNT = """
from django.contrib.auth.models import Group, User
watcher = User.objects.create_user("watcher", password="a-word-for-tests", is_staff=True)
watcher.groups.add(Group.objects.get(name="Operators"))
"""
NEWEST = """
from sessions.models import StreamingSession
print(StreamingSession.objects.order_by("-created_at").first().pk)
"""


@pytest_asyncio.fixture(loop_scope="package")
async def own_room(chromium: Browser, stage: Stage) -> AsyncIterator[RoomPage]:
    before = stage.portal.manage("shell", "-v0", "-c", ROOMS).strip()
    stage.portal.use_rooms("own")
    try:
        async with RoomPage.opened(chromium, stage) as room:
            yield room
    finally:
        stage.portal.use_rooms(before)


ROOMS = "from avatars.models import ProviderAccount; print(ProviderAccount.objects.first().rooms)"


async def test_the_room_is_joined_before_start_and_closed_at_the_end(
    own_room: RoomPage, livekit: servers.LiveKit, chromium: Browser
) -> None:
    """Requirements 40, 41, 42 and 51; complaint 22."""
    room, portal = own_room, own_room.stage.portal
    async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as server:

        async def people() -> list[str]:
            held = await server.room.list_rooms(api.ListRoomsRequest())
            ours = [one.name for one in held.rooms if one.name.startswith("portal-")]
            listed = [await server.room.list_participants(api.ListParticipantsRequest(room=name)) for name in ours]
            return [one.identity + one.name + one.metadata for answer in listed for one in answer.participants]

        async def waits() -> bool:
            return await people() == ["person"]

        await until(waits)
        assert await room.page.get_attribute("body", "data-state") == "ready"
        await room.start()
        await room.wait_for_sound()
        assert sorted(await people()) == ["heygen", "person"]
        await check_observer(room, chromium)
        assert livekit.api_secret not in "".join(room.socket_messages)
        await room.page.click("#end")
        await room.state("ended")
        await room.wait_until_all_ended()

        async def is_gone() -> bool:
            return await people() == []

        await until(is_gone)
    await room.wait_for_events("room_made", "participant_joined", "track_published", "observed", "room_finished")
    assert room.console_errors == []
    assert portal.is_healthy()


async def check_observer(room: RoomPage, chromium: Browser) -> None:
    """Check that an operator sees the video and the user's page shows the observer."""
    portal = room.stage.portal
    portal.manage("shell", "-v0", "-c", OBSERVER_ACCOUNT)
    session_id = portal.manage("shell", "-v0", "-c", NEWEST).strip()
    context = await chromium.new_context(locale="es")
    page, console_errors = await context.new_page(), list[str]()
    page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
    notice = room.page.locator("#observed")
    await expect(notice).to_be_hidden()
    await Person("watcher", "a-word-for-tests").sign_in(page, portal)
    await page.goto(f"{portal.url}/admin/avatar_sessions/streamingsession/{session_id}/change/")
    await page.locator("a[href$='/observe/']").first.click()
    await page.locator("#observer button").click()
    await expect(page.locator("[data-when=watching]")).to_be_visible()

    async def moves() -> bool:
        return int(await page.evaluate(FRAMES)) > 10

    await until(moves)
    assert await room.page.evaluate("document.querySelectorAll('audio, video').length") == 2
    await expect(notice).to_be_visible()
    assert console_errors == []
    await context.close()
    await expect(notice).to_be_hidden(timeout=20_000)
