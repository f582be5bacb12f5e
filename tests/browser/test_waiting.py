"""A conversation moves to another device; a user waits for a slot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, expect

from tests.browser.room_page import Person, RoomPage, Stage

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]

SLOTS = """
from avatars.models import ProviderAccount
ProviderAccount.objects.update(concurrency_limit={})
"""
NEIGHBOUR = """
from django.contrib.auth.models import Group, User
neighbour = User.objects.create_user("neighbour", password="a-word-for-tests")
neighbour.groups.add(Group.objects.get(name="End users"))
"""


@pytest.fixture
def one_slot(stage: Stage) -> Iterator[None]:
    """The plan allows one session at a time."""
    stage.portal.manage("shell", "-v0", "-c", NEIGHBOUR + SLOTS.format(1))
    yield
    stage.portal.manage("shell", "-v0", "-c", SLOTS.format(3))


@pytest.mark.proof
async def test_a_conversation_moves_to_another_device_with_its_lines(room: RoomPage) -> None:
    """Complaint 20."""
    await room.start()
    await room.write("Hola ¿cómo estás?", "repeat")
    await room.wait_for_line("Hola ¿cómo estás?")
    browser = room.page.context.browser
    assert browser
    async with RoomPage.opened(browser, room.stage, viewport={"width": 390, "height": 844}) as phone:
        await phone.page.click("#start")
        await phone.state("take-over")
        await expect(phone.page.locator("#elsewhere")).to_contain_text("Con Lucía, desde las")
        await phone.page.click("#bring")
        await phone.state("live")
        await room.state("taken-over")
        await expect(room.page.locator("#fetch")).to_be_focused()
        assert await phone.lines("user").all_text_contents() == ["Hola ¿cómo estás?"]
        await phone.write("Sigo aquí.", "repeat")
        await phone.wait_for_line("Sigo aquí.")


@pytest.mark.usefixtures("one_slot")
@pytest.mark.proof
async def test_a_queued_user_starts_without_another_click(chromium: Browser, room: RoomPage) -> None:
    """Complaint 4."""
    await room.start()
    async with RoomPage.opened(chromium, room.stage, locale="en", storage_state=None) as other:
        await Person("neighbour", "a-word-for-tests").sign_in(other.page, room.stage.portal)
        await other.page.goto(room.page.url)
        await other.page.click("#start")
        await other.state("queue")
        await expect(other.page.locator("#queue-place")).to_contain_text("You are next in the queue")
        await room.page.click("#end")
        await other.state("live", "tap")
        assert other.console_errors == []
