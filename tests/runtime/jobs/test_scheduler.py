"""Beat sends jobs with work at once, and others only as a heartbeat."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from celery import Celery

from heygen_portal.redis import marks
from heygen_portal.runtime.jobs import job_loop, scheduler
from heygen_portal.runtime.jobs.scheduler import PortalTask, SteadyScheduler

# Before and after a question, the thread that asks it looks whether its database connections still work.
pytestmark = pytest.mark.django_db


class Beat:
    """A scheduler with one job every half second.

    The test controls its clock and its work.
    """

    def __init__(self, redis_url: str) -> None:
        self.passed, self.answer, self.asked = 0.0, False, 0
        self.app = Celery("idle", broker=redis_url, set_as_current=False)
        register = self.app.task(name="tick", shared=False, base=PortalTask, has_work=staticmethod(self.has_work))
        self.job = register(_do_nothing)
        self.app.conf.update(task_default_queue=uuid.uuid4().hex, beat_schedule={"tick": _every(0.5)})
        self.redis: Any = redis.Redis.from_url(redis_url)
        self.scheduler = SteadyScheduler(self.app, clock=lambda: self.passed)

    def has_work(self) -> bool:
        self.asked += 1
        return self.answer

    def sends(self, after_s: float = 0.5) -> bool:
        """Whether the scheduler queues the job when it runs `after_s` later."""
        self.passed += after_s
        self.scheduler.tick()
        queued = self.redis.lrange(self.app.conf.task_default_queue, 0, -1)
        self.redis.delete(self.app.conf.task_default_queue)
        return [json.loads(message)["headers"]["task"] for message in queued] == ["tick"]


def _do_nothing() -> None:
    pass


def _every(seconds: float) -> dict[str, Any]:
    return {"task": "tick", "schedule": seconds}


@pytest.fixture
def beat(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beat]:
    monkeypatch.setattr(scheduler, "HAS_WORK_TIMEOUT", timedelta(minutes=1))  # however slow the machine
    beat = Beat(redis_url)
    assert beat.sends()  # the first time unasked
    yield beat
    job_loop.close()


def test_a_job_with_work_is_sent_at_each_interval(beat: Beat) -> None:
    beat.answer = True
    assert [beat.sends() for _ in range(5)] == [True] * 5


def test_a_job_is_sent_as_soon_as_there_is_work(beat: Beat) -> None:
    assert not any(beat.sends() for _ in range(7))
    beat.answer = True
    assert beat.sends()


def test_a_job_without_work_is_sent_every_ten_seconds(beat: Beat) -> None:
    sent = [beat.sends() for _ in range(60)]
    assert [number for number, was_sent in enumerate(sent, start=1) if was_sent] == [20, 40, 60]


def test_an_idle_job_is_asked_at_its_interval_without_a_burst_after_a_pause(beat: Beat) -> None:
    beat.sends(after_s=5)
    asked = beat.asked
    assert not any(beat.sends(after_s=0) for _ in range(5))
    assert beat.asked <= asked + 1


@pytest.mark.parametrize("fault", ["error", "silence"])
def test_a_job_that_cannot_be_asked_is_sent_unasked_for_ten_seconds(
    beat: Beat, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "HAS_WORK_TIMEOUT", timedelta(milliseconds=200 if fault == "silence" else 60_000))
    ended = threading.Event()

    def fail() -> bool:
        beat.asked += 1
        if fault == "silence":
            ended.wait(60)
        raise RuntimeError("the database is away")

    try:
        vars(beat.job)["has_work"] = fail
        beat.asked = 0
        assert all(beat.sends() for _ in range(15))
        assert beat.asked == 1
    finally:
        ended.set()


def test_beat_leaves_a_sign_of_life_at_most_every_five_seconds(beat: Beat, settings: Any, redis_url: str) -> None:
    settings.REDIS_URL = redis_url
    marks.client.cache_clear()
    try:
        marks.client().delete("portal-mark:beat")
        beat.sends(after_s=4)
        assert marks.ages([marks.BEAT])[marks.BEAT] is None  # the fixture's tick was less than five seconds ago
        beat.sends(after_s=1)
        assert marks.ages([marks.BEAT])[marks.BEAT] is not None
    finally:
        marks.client().delete("portal-mark:beat")
        marks.client.cache_clear()
