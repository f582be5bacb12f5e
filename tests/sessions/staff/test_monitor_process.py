"""The monitor as a process that is killed and replaced by another one."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import servers as programs
from local.processes import Child
from tests.support import servers

pytestmark = [pytest.mark.media, pytest.mark.proof]

WAIT_TIMEOUT_S = 120
POLL_S = 0.5
START_SESSION = """
import asyncio
from avatars.models import ProviderAccount
from django.contrib.auth.models import User
from heygen_portal.providers import closing_providers
from sessions.lifecycle import transitions as lifecycle
from sessions.capacity import slots as places
from sessions.actions import provision

async def create_and_start():
    async def ignore(room): pass
    async with closing_providers():
        await provision.create_and_start(session, ignore)

ProviderAccount.objects.filter(kind="heygen").update(monitors_chat=True)
session = places.open_session(User.objects.get(username="demo").pk, "lucia")
asyncio.run(create_and_start())
lifecycle.go_live(session)
"""
SAY = """
import asyncio
from heygen_portal import providers
from heygen_portal.providers.contract.provider import TaskKind
from sessions.models import StreamingSession

async def say():
    async with providers.closing_providers():
        await providers.for_account(session.account).send_task(
            session.provider_session_id, text="Hola", kind=TaskKind.REPEAT)

session = StreamingSession.objects.select_related("account").get()
asyncio.run(say())
"""
EVENT_KINDS = """
import json
from sessions.models import SessionEvent
rows = SessionEvent.objects.filter(kind__in=("monitor_opened", "avatar_start_talking"))
print(json.dumps(list(rows.order_by("number").values_list("source", "kind"))))
"""


def test_a_second_monitor_takes_over_when_the_first_is_killed(quiet_emulator: servers.Emulator, tmp_path: Path) -> None:
    with servers.portal(quiet_emulator) as portal:
        monitors = [_monitor(number, portal, tmp_path) for number in range(2)]
        try:
            portal.manage("shell", "-v0", "-c", START_SESSION)
            monitors[0].start()
            _until(lambda: _recorded_kinds(portal) == ["monitor_opened"])
            portal.manage("shell", "-v0", "-c", SAY)
            _until(lambda: _recorded_kinds(portal) == ["monitor_opened", "avatar_start_talking"])
            monitors[1].start()
            os.killpg(monitors[0].pid, signal.SIGKILL)
            _until(lambda: _recorded_kinds(portal).count("monitor_opened") == 2)
            portal.manage("shell", "-v0", "-c", SAY)
            _until(lambda: _recorded_kinds(portal).count("avatar_start_talking") == 2)
        finally:
            for monitor in monitors:
                monitor.stop()


def _monitor(number: int, portal: servers.Portal, folder: Path) -> Child:
    log = folder / f"monitor-{number}.log"
    return Child("monitor", programs.command("monitor", {}), log, env=portal.environment)


def _recorded_kinds(portal: servers.Portal) -> list[str]:
    events: Any = json.loads(portal.manage("shell", "-v0", "-c", EVENT_KINDS))
    return [kind for _source, kind in events]


def _until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(POLL_S)
