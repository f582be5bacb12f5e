"""Each cause of blackness, brought about on purpose: what the page says, how far it climbs, what the record tells.

When each step is due is tested with node, on a clock of its own; here the steps meet a real room and a real picture.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests import servers
from tests.browser.room_page import PATIENCE_S, RoomPage, Stage, until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.media,
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.skipif(
        os.environ.get("ROOMS") == "own", reason="faults are ordered by the room, which is the session's"
    ),
]
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
RECORDS = """
import json
from django.contrib.auth.models import User
told = {{}}
for user in User.objects.filter(username__in={names!r}):
    sessions = user.streaming_sessions.order_by("created_at")
    told[user.username] = [
        {{"status": one.status, "reason": one.end_reason,
          "tasks": [task.text for task in one.tasks.all() if task.sent_by_id],
          "events": [[event.kind, event.data.get("step") or event.data.get("code", "")] for event in one.events.all()]}}
        for one in sessions
    ]
print(json.dumps(told))
"""
HIDDEN = """
Object.defineProperty(Document.prototype, "hidden", { get: () => window.isAway === true });
Object.defineProperty(window, "isSecureContext", { get: () => false });
"""

Case = Callable[[RoomPage], Awaitable[None]]


def heard(room: RoomPage, message_type: str) -> list[dict[str, Any]]:
    messages = [json.loads(text) for text in room.told]
    return [message for message in messages if message["type"] == message_type]


def reported(room: RoomPage, kind: str, key: str) -> list[str]:
    return [message["data"][key] for message in heard(room, "event.report") if message["kind"] == kind]


async def in_room(room: RoomPage, number: int = 1) -> str:
    """Wait until the page has been handed its n-th room; return the session at the provider that it is of."""

    async def is_handed() -> bool:
        return len(heard(room, "session.room")) >= number

    await until(is_handed)
    claims = heard(room, "session.room")[number - 1]["token"].split(".")[1]
    name: str = json.loads(base64.urlsafe_b64decode(claims + "=="))["video"]["room"]
    return name


async def spoil(room: RoomPage, kind: str, **fault: Any) -> None:
    wish = {"kind": kind, **fault}
    answer = await room.page.request.post(f"{room.stage.emulator.url}/_emulator/faults", data=wish)
    assert answer.ok, await answer.text()


async def climbed(room: RoomPage, *steps: str) -> None:
    """Wait until the page has gone these steps, and none besides."""

    async def has_climbed() -> bool:
        return len(reported(room, "ladder", "step")) >= len(steps)

    await until(has_climbed)
    assert reported(room, "ladder", "step") == list(steps)


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


async def all_go_wrong(chromium: Browser, stage: Stage, cases: Mapping[str, tuple[Case, str]]) -> dict[str, Any]:
    """Let each case happen to a person of its name, side by side; return what is kept of their sessions."""
    async with people(chromium, stage, {name: init for name, (_, init) in cases.items()}) as rooms:
        async with asyncio.TaskGroup() as group:
            for name, (case, _) in cases.items():
                group.create_task(_named(name, case(rooms[name])))
        records: dict[str, Any] = json.loads(
            stage.portal.manage("shell", "-v0", "-c", RECORDS.format(names=list(cases)))
        )
        return records


async def _named(name: str, case: Awaitable[None]) -> None:
    try:
        await case
    except BaseException as exc:
        exc.add_note(f"in the case {name}")
        raise


# Before the first picture


async def no_video(room: RoomPage) -> None:
    """Demands 55, 65 and 66; complaint 1: down to the voice, chat included."""
    await room.page.click("#start")
    for number in (1, 2):
        await spoil(room, "no_video", session=await in_room(room, number))
    await expect(room.page.locator("#recovering-why")).to_contain_text("el fallo está en su sesión")
    await room.state("sound")
    await climbed(room, "rejoin", "renew", "sound")
    await room.write("Hola", "repeat")
    await room.has_said("Hola")


async def silent(room: RoomPage) -> None:
    """The last step: in writing, by the room's data channel."""
    await room.page.click("#start")
    for number in (1, 2):
        session = await in_room(room, number)
        await asyncio.gather(spoil(room, "no_video", session=session), spoil(room, "no_audio", session=session))
    await room.state("text")
    await climbed(room, "rejoin", "renew", "text")
    await room.write("Hola", "repeat")
    await room.has_said("Hola")


async def black(room: RoomPage) -> None:
    """Demand 54: a black picture is none, and the session is not live before there is one."""
    await room.page.click("#start")
    await spoil(room, "black", session=await in_room(room))
    await expect(room.page.locator("#recovering-why")).to_contain_text("imagen negra")
    assert not any(message["status"] == "live" for message in heard(room, "session.status"))
    await room.state("live")
    await climbed(room, "rejoin", "renew", "picture")


async def another_room(room: RoomPage) -> None:
    """Demands 57 and 71: a token of another session."""
    await room.page.click("#start")
    await room.state("recovering")
    await expect(room.page.locator("#recovering-why")).to_contain_text("El permiso para entrar en la sala")
    await room.state("live")
    await climbed(room, "rejoin", "renew", "picture")


# After it


async def frozen(room: RoomPage) -> None:
    """Demand 54, and complaint 7: the conversation goes on, with what was said."""
    await room.start()
    await room.write("Hola", "repeat")
    await room.has_said("Hola")
    await spoil(room, "frozen", session=await in_room(room))
    await room.state("recovering")
    await expect(room.page.locator("#recovering-why")).to_contain_text("se quedó quieta")
    await room.write("Sigo aquí.", "repeat")
    await room.state("live")
    await room.has_said("Sigo aquí.")
    await climbed(room, "rejoin", "renew", "picture")
    assert await room.lines("user").all_text_contents() == ["Hola", "Sigo aquí."]


async def leaves(room: RoomPage) -> None:
    """Complaint 6: the avatar goes after some seconds, and nobody says why."""
    await room.start()
    await spoil(room, "leaves", session=await in_room(room), seconds=0.2)
    await room.write("Hola", "repeat")
    await room.state("recovering")
    await expect(room.page.locator("#recovering-why")).to_contain_text("salió de la sala")
    await room.state("live")
    assert "avatar_left" in reported(room, "verdict", "code")


async def hidden(room: RoomPage) -> None:
    """Demand 61: while nobody can look nothing counts. Demand 58: HTTP is warned of before joining."""
    await expect(room.page.locator("#insecure")).to_be_visible()
    await room.start()
    since = await room.page.evaluate("window.isAway = true, performance.now()")
    await spoil(room, "frozen", session=await in_room(room))
    await room.sees(f"performance.now() > {since + 5_000}")
    assert reported(room, "ladder", "step") == []
    await room.page.evaluate("window.isAway = false")
    await room.state("recovering")
    await room.state("live")


async def test_causes_before_the_first_picture(chromium: Browser, stage: Stage) -> None:
    # Which session the next fault is meant for is a matter of order: the other room's comes first.
    fault = {"kind": "foreign_token"}
    cases = {
        "another_room": (another_room, ""),
        "no_video": (no_video, ""),
        "silent": (silent, ""),
        "black": (black, ""),
    }
    started = asyncio.Event()

    def after(case: Case) -> Case:
        async def waits(room: RoomPage) -> None:
            await started.wait()
            await case(room)

        return waits

    async def first(room: RoomPage) -> None:
        await spoil(room, **fault)
        going = asyncio.create_task(another_room(room))
        await in_room(room)
        started.set()
        await going

    ordered = {name: (first if name == "another_room" else after(case), init) for name, (case, init) in cases.items()}
    records = await all_go_wrong(chromium, stage, ordered)
    ends = {name: [(one["status"], one["reason"]) for one in sessions] for name, sessions in records.items()}
    assert ends == {name: [("ended", "no_picture"), ("live", "")] for name in cases}
    told = {
        name: {step for kind, step in sessions[0]["events"] if kind == "verdict"} for name, sessions in records.items()
    }
    verdicts = {"another_room": "token", "no_video": "no_track", "silent": "no_track", "black": "black"}
    assert {name: verdict in told[name] for name, verdict in verdicts.items()} == dict.fromkeys(verdicts, True)
    assert ["without_picture", "text"] in records["silent"][1]["events"]


async def test_causes_after_the_first_picture(chromium: Browser, stage: Stage) -> None:
    cases = {"frozen": (frozen, ""), "leaves": (leaves, ""), "hidden": (hidden, HIDDEN)}
    records = await all_go_wrong(chromium, stage, cases)
    for name, sessions in records.items():
        assert [one["status"] for one in sessions] == ["ended", "live"], name
    kinds = [kind for kind, _ in records["frozen"][0]["events"]]
    assert kinds.index("first_frame") < kinds.index("frozen") < kinds.index("ladder") < len(kinds)
    assert records["frozen"][0]["tasks"] + records["frozen"][1]["tasks"] == ["Hola", "Sigo aquí."]


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
