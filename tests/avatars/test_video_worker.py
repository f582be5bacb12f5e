"""Recorded videos with a real worker that is killed, and the emulator's Video API. Demand 74."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import servers
from tests.servers import Emulator, Portal

ORDER = """
from django.contrib.auth.models import User
from avatars.models import Avatar, Video
avatar = Avatar.objects.filter(is_active=True).first()
print(Video.objects.create(title="Hola", text="Hola.", avatar=avatar, created_by=User.objects.first()).pk)
"""
LONGEST_WAIT_S = 90


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with servers.emulator(media=False, args=["--control"]) as emulator:
        yield emulator


@pytest.fixture
def portal(redis_url: str, emulator: Emulator) -> Iterator[Portal]:
    with servers.portal(redis_url, emulator) as portal:
        yield portal


def row(portal: Portal) -> tuple[str, str]:
    """The video's status and file, as they are stored."""
    path = portal.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        status, file = database.execute("SELECT status, file FROM avatars_video").fetchone()
    database.close()
    return status, file


def until(portal: Portal, status: str, *, has_file: bool = False) -> None:
    portal.worker.wait_until(
        lambda: row(portal)[0] == status and bool(row(portal)[1]) == has_file, seconds=LONGEST_WAIT_S
    )


def orders(emulator: Emulator) -> list[object]:
    log = httpx.get(f"{emulator.url}/_emulator/requests", trust_env=False).json()["requests"]
    return [entry for entry in log if entry["path"].endswith("video/generate")]


def test_an_order_whose_answer_died_with_the_worker_is_paid_for_once(portal: Portal, emulator: Emulator) -> None:
    silence = {"kind": "silence", "on": "video/generate", "when": "after"}
    httpx.post(f"{emulator.url}/_emulator/faults", json=silence, trust_env=False).raise_for_status()
    video_id = portal.manage("shell", "-v0", "-c", ORDER).split()[-1]
    until(portal, "ordering")
    portal.worker.kill()
    # Who died holds the row until its claim is over; the test does not wait for that minute.
    sooner = "from avatars.models import Video; from django.utils import timezone; "
    portal.manage("shell", "-v0", "-c", f"{sooner}Video.objects.update(due_at=timezone.now())")
    portal.worker.start()
    until(portal, "ready")
    assert len(orders(emulator)) == 1, json.dumps(orders(emulator))
    fetch = "from avatars import videos; from avatars.models import Video; videos.fetch(Video.objects.get())"
    portal.manage("shell", "-v0", "-c", fetch)
    until(portal, "ready", has_file=True)
    film = Path(portal.environment["VAR_DIR"], "media", "videos", f"{video_id}.mp4")
    assert film.read_bytes()[4:8] == b"ftyp"
