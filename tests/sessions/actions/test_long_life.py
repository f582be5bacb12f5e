"""A worker does the same work after hours as at its start: jobs leak nothing."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import Mock
from uuid import uuid4

import pytest
from django.db import DEFAULT_DB_ALIAS, transaction

from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import job_loop
from sessions import tasks
from sessions.lifecycle import broadcast
from sessions.models import StreamingSession

pytestmark = pytest.mark.django_db(transaction=True)

TICKS = 1000
WARM_UP = 200
MOST_GROWTH = 40
"""What pools of threads, and their connections, may still add: something left by each tick would be 1,000."""
MOST_OBJECTS = TICKS
"""What the interpreter's own caches may add: less than an object for each tick."""


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    job_loop.close()


async def tasks_of_loop() -> int:
    return len(asyncio.all_tasks())


def left_behind() -> dict[str, int]:
    gc.collect()
    return {
        "context variables": len(contextvars.copy_context()),
        "tasks": job_loop.run(tasks_of_loop(), timedelta(minutes=1)),
        "threads": threading.active_count(),
        "file descriptors": len(os.listdir("/proc/self/fd")),
    }


def test_the_database_is_not_touched_from_an_event_loop() -> None:
    """Otherwise asgiref would create a storage, and Django an unused connection."""

    async def connections_of_loop() -> list[object]:
        await in_thread(StreamingSession.objects.exists)()
        values = contextvars.copy_context().values()
        return [made for value in values if (made := getattr(value, "data", {}).get(DEFAULT_DB_ALIAS))]

    assert job_loop.run(connections_of_loop(), timedelta(minutes=1)) == []


@pytest.mark.proof
def test_ticks_leak_nothing(provider: Mock) -> None:
    for _ in range(WARM_UP):
        tasks.enforce_limits()
    before, objects = left_behind(), len(gc.get_objects())
    for _ in range(TICKS):
        tasks.enforce_limits()
    after = left_behind()
    assert {name: after[name] - before[name] for name in after if after[name] - before[name] > MOST_GROWTH} == {}
    assert len(gc.get_objects()) - objects < MOST_OBJECTS


def test_publishing_from_a_job_without_an_event_loop_leaks_nothing() -> None:
    def tell() -> None:
        for _ in range(20):
            with transaction.atomic():
                broadcast.notify_board(["ladder"])
                broadcast.publish_all({uuid4(): broadcast.Staying()})

    tell()
    before = left_behind()
    tell()
    assert left_behind() == before
