"""Conversations with injected faults, side by side, and what their pages report."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from playwright.async_api import Browser

from tests.browser.room_page import RoomPage, Stage, until

MAX_ATTEMPTS = 3
# Verdicts of a page that was not let into its room soon enough.
LATE_JOIN_VERDICTS = ("network", "slow_room")
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
records = {{}}
for user in User.objects.filter(username__in={names!r}):
    sessions = user.streaming_sessions.order_by("created_at")
    records[user.username] = [
        {{"status": one.status, "reason": one.end_reason,
          "tasks": [task.text for task in one.tasks.all() if task.sent_by_id],
          "events": [[event.kind, event.data.get("step") or event.data.get("code", "")] for event in one.events.all()]}}
        for one in sessions
    ]
print(json.dumps(records))
"""


@dataclass(frozen=True)
class Fault:
    run: Callable[[RoomPage], Awaitable[None]]
    # The fault affects the next session, so no other one may be opened before it.
    order: Mapping[str, Any] = field(default_factory=dict)
    # Runs in the page before any script of its own.
    init: str = ""


def messages_of(room: RoomPage, message_type: str) -> list[dict[str, Any]]:
    messages = [json.loads(text) for text in room.socket_messages]
    return [message for message in messages if message["type"] == message_type]


def reported(room: RoomPage, kind: str, key: str) -> list[str]:
    return [message["data"][key] for message in messages_of(room, "event.report") if message["kind"] == kind]


async def wait_for_room(room: RoomPage, number: int = 1) -> str:
    """Wait until the page has received its n-th room.

    Return the provider's session ID.
    """

    async def is_handed() -> bool:
        return len(messages_of(room, "session.room")) >= number

    await until(is_handed)
    claims = messages_of(room, "session.room")[number - 1]["token"].split(".")[1]
    name: str = json.loads(base64.urlsafe_b64decode(claims + "=="))["video"]["room"]
    return name


async def inject_fault(room: RoomPage, kind: str, **fault: Any) -> None:
    fault_order = {"kind": kind, **fault}
    answer = await room.page.request.post(f"{room.stage.emulator.url}/_emulator/faults", data=fault_order)
    assert answer.ok, await answer.text()


@asynccontextmanager
async def injecting_faults(room: RoomPage, *kinds: str) -> AsyncIterator[None]:
    """Inject the faults into each room that the page receives in the meantime.

    On a busy machine the video may start before the fault, and is lost a moment later.
    """

    async def spoil_each() -> None:
        for number in count(1):
            session = await wait_for_room(room, number)
            await asyncio.gather(*(inject_fault(room, kind, session=session) for kind in kinds))

    task = asyncio.create_task(spoil_each())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def wait_until_continued(room: RoomPage, state: str) -> None:
    """Wait until the conversation continues without video.

    On a busy machine the page may give up before it joins its room. It then retries like a user would.
    """
    for _ in range(MAX_ATTEMPTS):
        await room.state(state, "failed")
        if await room.page.evaluate("document.body.dataset.state") == state:
            return
        assert reported(room, "verdict", "code")[-1] in LATE_JOIN_VERDICTS
        await room.page.click("#retry")
    await room.state(state)


async def wait_for_final_step(room: RoomPage, step: str) -> None:
    """Wait until the page has tried all recovery steps and stays at this one."""

    async def has_settled() -> bool:
        return reported(room, "ladder", "step")[-1:] == [step]

    await until(has_settled)
    steps = reported(room, "ladder", "step")
    assert steps.index("rejoin") < steps.index("renew")


async def wait_for_steps(room: RoomPage, *steps: str) -> None:
    """Wait until the page has taken exactly these recovery steps."""

    async def has_climbed() -> bool:
        return len(reported(room, "ladder", "step")) >= len(steps)

    await until(has_climbed)
    assert reported(room, "ladder", "step") == list(steps)


@asynccontextmanager
async def people(chromium: Browser, stage: Stage, inits: Mapping[str, str]) -> AsyncIterator[dict[str, RoomPage]]:
    """Open one room page with small video per user, and leave all of them at the end."""
    keys = json.loads(stage.portal.manage("shell", "-v0", "-c", PEOPLE.format(names=list(inits))))

    def page_of(name: str) -> AbstractAsyncContextManager[RoomPage]:
        cookie = {"name": "sessionid", "value": keys[name], "domain": "127.0.0.1", "path": "/", "expires": -1}
        state = {"cookies": [cookie | {"httpOnly": True, "secure": False, "sameSite": "Lax"}], "origins": []}
        return RoomPage.opened(chromium, stage, "small", init=inits[name], storage_state=state)

    pages = {name: page_of(name) for name in inits}
    opened = await asyncio.gather(*(page.__aenter__() for page in pages.values()))
    try:
        yield dict(zip(pages, opened, strict=True))
    finally:
        await asyncio.gather(*(page.__aexit__(None, None, None) for page in pages.values()))


async def wait_for_verdict(room: RoomPage, *codes: str) -> None:
    """Wait until the page has named one of these causes.

    How soon it does is tested in tests/js with a fake clock.
    """

    async def is_named() -> bool:
        return not set(codes).isdisjoint(reported(room, "verdict", "code"))

    await until(is_named)


async def run_faults(chromium: Browser, stage: Stage, causes: Mapping[str, Fault]) -> dict[str, Any]:
    """Run each fault in parallel, with a user of its name.

    Return the records of their sessions.
    """
    async with people(chromium, stage, {name: cause.init for name, cause in causes.items()}) as rooms:
        for name in (name for name, cause in causes.items() if cause.order):
            await inject_fault(rooms[name], **causes[name].order)
            await rooms[name].page.click("#start")
            await wait_for_room(rooms[name])
        async with asyncio.TaskGroup() as group:
            for name, cause in causes.items():
                group.create_task(_run_fault(name, rooms[name], cause))
        return await records_of(stage, list(causes))


async def records_of(stage: Stage, names: list[str]) -> dict[str, Any]:
    """Return the records of these users' sessions."""
    records: dict[str, Any] = json.loads(stage.portal.manage("shell", "-v0", "-c", RECORDS.format(names=names)))
    return records


async def _run_fault(name: str, room: RoomPage, cause: Fault) -> None:
    try:
        await cause.run(room)
    except BaseException as exc:
        exc.add_note(f"{name}: {reported(room, 'ladder', 'step')} because {reported(room, 'verdict', 'code')}")
        raise
