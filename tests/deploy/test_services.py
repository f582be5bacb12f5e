"""Every service of compose.yaml runs with its exact command.

As an ordinary user, from a clean environment.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from local.ports import LOOPBACK
from local.processes import Child
from tests.browser.room_page import until
from tests.deploy import stack as stacks
from tests.deploy.stack import Stack
from tests.support.browsing import ALLOW_SOUND, browser
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = [pytest.mark.proof, pytest.mark.browser, pytest.mark.media]

QUESTION = "¿Cuál es el horario?"


@pytest.fixture(scope="module")
def stack() -> Iterator[tuple[Stack, dict[str, Child]]]:
    with stacks.running() as running:
        yield running


async def test_a_conversation_passes_the_proxy(stack: tuple[Stack, dict[str, Child]]) -> None:
    made, children = stack
    assert made.proxy
    said = re.search(r"as demo with the password (\S+)", (made.folder / "first-run").read_text())
    assert said
    async with browser(ALLOW_SOUND) as chromium:
        # The certificate is of the proxy's own authority, which `test_proxy` verifies.
        context = await chromium.new_context(locale="es", ignore_https_errors=True)
        context.set_default_timeout(WAIT_TIMEOUT_S * 1000)
        page = await context.new_page()
        await page.goto(f"{made.proxy.portal}/accounts/login/")
        await page.fill("input[name=login]", "demo")
        await page.fill("input[name=password]", said[1])
        await page.press("input[name=password]", "Enter")
        await page.wait_for_url(f"{made.proxy.portal}/")
        await page.goto(f"{made.proxy.portal}/personas/lucia/")
        await page.click("#start")
        await page.wait_for_selector("body[data-state=live]")
        frames = "() => document.querySelector('#video').getVideoPlaybackQuality().totalVideoFrames"

        async def has_moving_video() -> bool:
            return bool(await page.evaluate(frames) > 5)

        await until(has_moving_video)
        await page.fill("#text", QUESTION)
        await page.press("#text", "Enter")
        lines = page.locator(".line:not(.line--you) .line__text")
        await expect(lines).to_have_count(2)  # after the greeting
        await page.click("#end")
        await page.wait_for_selector("body[data-state=ended]")
        await context.close()
    assert [name for name, child in children.items() if not child.is_running] == []


async def test_the_first_backup_is_made_of_database_media_and_keys(
    stack: tuple[Stack, dict[str, Child]],
) -> None:
    made, _ = stack

    def manifests() -> list[Path]:
        return [path for kind in ("data", "keys") for path in made.mount(f"/backups/{kind}").glob("*/manifest.json")]

    async def are_complete() -> bool:
        return len(manifests()) == 2

    await until(are_complete)
    assert (manifests()[0].parent / "database.pgdump").stat().st_size > 0
    assert (made.mount("/data") / "last-backup").exists()


def test_processes_run_without_privileges(stack: tuple[Stack, dict[str, Child]]) -> None:
    made, children = stack
    for name, child in children.items():
        if name == "emulator":  # not part of production
            continue
        status = Path(f"/proc/{child.pid}/status").read_text()
        uid, capabilities, locked = (
            re.search(rf"^{key}:\s+(\w+)", status, re.MULTILINE) for key in ("Uid", "CapBnd", "NoNewPrivs")
        )
        assert uid
        assert capabilities
        assert locked
        if not os.geteuid():
            assert (int(uid[1]) > 0, int(capabilities[1], 16), locked[1]) == (True, 0, "1"), name
    assert not (made.folder / "image" / "app" / "heygen_portal" / "emulator").exists()
    assert LOOPBACK not in {made.network.address(name) for name in children}


SPOKEN = """
from sessions.models import StreamingSession, Utterance
for row in StreamingSession.objects.all():
    print(row.status, row.end_reason)
for line in Utterance.objects.filter(by="text"):
    print(line.text)
"""


def test_the_backup_is_restored_by_the_documented_commands(stack: tuple[Stack, dict[str, Child]]) -> None:
    """It needs neither the former database nor the former volumes and keys."""
    made, children = stack
    for name, child in children.items():
        if name.rpartition("-")[0] in ("web", "limits", "worker", "beat", "monitor", "backup"):
            child.stop()
    newest = made.run("backup", command=["python", "manage.py", "backup", "/backups/data/new", "/backups/keys/new"])
    assert newest
    former = made.begin_anew()
    for kind in ("data", "keys"):
        shutil.copytree(former / "backups" / kind / "new", made.mount("/restore") / kind)
    made.give(made.mount("/restore"))
    made.run("worker", command=["python", "manage.py", "restore", "/restore/data", "/restore/keys"])
    made.run("migrate")
    assert "No faults found." in made.run("worker", command=["python", "manage.py", "verify_history"])
    spoken = made.run("worker", command=["python", "manage.py", "shell", "-v0", "-c", SPOKEN])
    assert spoken.splitlines() == ["ended user_stopped", QUESTION]
