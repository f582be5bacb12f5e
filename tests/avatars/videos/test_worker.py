"""Recorded videos with a worker that is killed. Requirement 74."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.support import servers
from tests.support.servers import Emulator, Portal

ORDER = """
from django.contrib.auth.models import User
from avatars.models import Avatar, Video
avatar = Avatar.objects.filter(is_active=True).first()
print(Video.objects.create(title="Hola", text="Hola.", avatar=avatar, created_by=User.objects.first()).pk)
"""
TIMEOUT_S = 240


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with servers.emulator(media=False, args=["--control"]) as emulator:
        yield emulator


@pytest.fixture
def portal(emulator: Emulator) -> Iterator[Portal]:
    with servers.portal(emulator) as portal:
        yield portal


def until(portal: Portal, status: str, *, has_file: bool = False) -> None:
    """Wait until the stored row has this status and file."""
    path = portal.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:

        def is_so() -> bool:
            ((found, file),) = database.execute("SELECT status, file FROM avatars_video").fetchall()
            return (found, bool(file)) == (status, has_file)

        portal.worker.wait_until(is_so, seconds=TIMEOUT_S)


def orders(emulator: Emulator) -> list[object]:
    """Return the accepted orders from the emulator's list.

    An order that is still on its way is missing.
    """
    key = {"X-Api-Key": emulator.api_key}
    answer = httpx.get(f"{emulator.url}/v1/video.list", headers=key, trust_env=False)
    return list(answer.json()["data"]["videos"])


@pytest.mark.proof
def test_an_order_of_a_killed_worker_is_paid_once(portal: Portal, emulator: Emulator) -> None:
    silence = {"kind": "silence", "on": "video/generate", "when": "after"}
    httpx.post(f"{emulator.url}/_emulator/faults", json=silence, trust_env=False).raise_for_status()
    video_id = portal.manage("shell", "-v0", "-c", ORDER).split()[-1]
    portal.worker.wait_until(lambda: bool(orders(emulator)), seconds=TIMEOUT_S)
    portal.worker.kill()
    until(portal, "ordering")
    # Who died holds the row until its claim is over; the test does not wait for that minute.
    sooner = "from avatars.models import Video; from django.utils import timezone; "
    portal.manage("shell", "-v0", "-c", f"{sooner}Video.objects.update(due_at=timezone.now())")
    portal.worker.start()
    until(portal, "ready")
    assert len(orders(emulator)) == 1
    fetch = (
        "from avatars.videos import orders as videos; "
        "from avatars.models import Video; from heygen_portal.trail.change_log import SERVER; "
        "videos.fetch(Video.objects.get(), SERVER)"
    )
    portal.manage("shell", "-v0", "-c", fetch)
    until(portal, "ready", has_file=True)
    film = Path(portal.environment["VAR_DIR"], "media", "videos", f"{video_id}.mp4")
    assert film.read_bytes()[4:8] == b"ftyp"
