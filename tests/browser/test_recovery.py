"""The network goes away, and comes back. When each step of the ladder is due is tested with node."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests import servers
from tests.browser.room_page import PATIENCE_S, RoomPage, Stage

pytestmark = [pytest.mark.browser, pytest.mark.media, pytest.mark.asyncio(loop_scope="package")]
expect.set_options(timeout=PATIENCE_S * 1000)

# People who are signed in already: several conversations go wrong side by side.
PEOPLE = """
import json
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
cookies = {{}}
for name in {names!r}:
    user, _ = User.objects.get_or_create(username=name)
    user.groups.add(Group.objects.get(name="End users"))
    store = SessionStore()
    store[SESSION_KEY], store[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store.create()
    cookies[name] = store.session_key
print(json.dumps(cookies))
"""


def heard(room: RoomPage, message_type: str) -> list[dict[str, Any]]:
    messages = [json.loads(text) for text in room.told]
    return [message for message in messages if message["type"] == message_type]


@asynccontextmanager
async def people(chromium: Browser, stage: Stage, inits: dict[str, str]) -> AsyncIterator[dict[str, RoomPage]]:
    """One room page a person, each of a small picture; all are left at the end."""
    keys = json.loads(stage.portal.manage("shell", "-v0", "-c", PEOPLE.format(names=list(inits))))

    @asynccontextmanager
    async def one(name: str) -> AsyncIterator[RoomPage]:
        cookie = {"name": "sessionid", "value": keys[name], "domain": "127.0.0.1", "path": "/", "expires": -1}
        state = {"cookies": [cookie | {"httpOnly": True, "secure": False, "sameSite": "Lax"}], "origins": []}
        async with RoomPage.opened(chromium, stage, "small", init=inits[name], storage_state=state) as room:
            yield room

    rooms: dict[str, RoomPage] = {}
    open_ones = {name: one(name) for name in inits}
    try:
        for name, context in open_ones.items():
            rooms[name] = await context.__aenter__()
        yield rooms
    finally:
        await asyncio.gather(*(open_ones[name].__aexit__(None, None, None) for name in rooms))


async def test_ten_lines_while_the_network_is_away_arrive_once_and_in_order(
    chromium: Browser, stage: Stage, livekit: servers.LiveKit
) -> None:
    """Demand 50; complaint 10: LiveKit's own reconnect first, then ours, and nothing is lost."""
    lines = [f"Línea {number}." for number in range(1, 11)]
    async with people(chromium, stage, {"away": ""}) as rooms:
        room = rooms["away"]
        await room.start()
        os.kill(livekit.process.pid, signal.SIGSTOP)
        try:
            await room.state("recovering")
            for line in lines:
                await room.write(line, "repeat")
            assert not heard(room, "task.send")
            await expect(room.page.locator("#recovering-why")).to_contain_text("Tu red no deja pasar")
        finally:
            os.kill(livekit.process.pid, signal.SIGCONT)
        await room.state("live", "sound", "text")
        await room.has_said(lines[-1])
        assert await room.lines("user").all_text_contents() == lines
        assert [message["text"] for message in heard(room, "task.send")] == lines
