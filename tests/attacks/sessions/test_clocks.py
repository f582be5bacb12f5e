"""Clocks that step, are wrong, or differ between machines stop no job."""

from __future__ import annotations

import dbm
import json
import pickle
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from celery import Celery
from celery.app.task import Task
from celery.app.trace import build_tracer
from celery.schedules import crontab
from django.test import override_settings
from kombu import Connection

from heygen_portal.celery import app as portal_app
from heygen_portal.redis import marks
from heygen_portal.runtime.jobs import scheduler as beat
from heygen_portal.runtime.jobs.scheduler import SteadyScheduler
from local import servers
from local.processes import Child

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NIGHT = crontab(hour="2", minute="40")


class World:
    """A scheduler whose two clocks the test controls, with a real Redis."""

    def __init__(self, redis_url: str, file: Path) -> None:
        self.now, self.passed, self.file = NOON, 0.0, file
        self.app = Celery("clocks", broker=redis_url, set_as_current=False)
        self.app.conf.update(task_default_queue=uuid.uuid4().hex, timezone="UTC")
        self.app.conf.beat_schedule = {
            "tick": {"task": "tick", "schedule": 0.5},
            "minute": {"task": "minute", "schedule": 60.0},
            "night": {"task": "night", "schedule": NIGHT},
        }
        vars(self.app)["now"] = lambda: self.now
        self.redis = redis.Redis.from_url(redis_url)
        self.scheduler = self.another_beat()

    def restart(self) -> None:
        self.scheduler.close()
        self.scheduler = self.another_beat()

    def another_beat(self, file: Path | None = None) -> SteadyScheduler:
        return SteadyScheduler(self.app, schedule_filename=str(file or self.file), clock=lambda: self.passed)

    def advance(self, seconds: float) -> None:
        self.passed += seconds
        self.now += timedelta(seconds=seconds)

    def term(self) -> int:
        """Return the term with which the scheduler stamps its messages."""
        tick: Any = self.scheduler.schedule["tick"]
        return int(tick.options["headers"][beat.TERM_HEADER])

    def sent(self) -> list[str]:
        """Run one pass of the scheduler; return the jobs that it queued."""
        assert 0 <= self.scheduler.tick() <= 5
        queue = self.app.conf.task_default_queue
        messages: Any = self.redis.lrange(queue, 0, -1)
        self.redis.delete(queue)
        return sorted(json.loads(message)["headers"]["task"] for message in messages)


@pytest.fixture
def world(redis_url: str, tmp_path: Path) -> World:
    world = World(redis_url, tmp_path / "schedule")
    assert world.sent() == ["minute", "tick"]
    return world


STEPS = [timedelta(hours=-1), timedelta(seconds=-2), timedelta(days=-400), timedelta(hours=1), timedelta(days=30)]


@pytest.mark.parametrize("step", STEPS)
def test_intervals_hold_while_the_system_clock_steps(world: World, step: timedelta) -> None:
    world.advance(0.5)
    world.now += step
    assert "tick" in world.sent()
    world.advance(0.5)
    assert world.sent() == ["tick"]
    world.advance(60)
    assert set(world.sent()) >= {"minute", "tick"}


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(minutes=-1), timedelta(days=-400)])
def test_a_nightly_job_runs_at_its_next_hour_after_the_clock_was_set_back(world: World, step: timedelta) -> None:
    world.now = datetime(2026, 3, 2, 2, 40, tzinfo=UTC)
    assert "night" in world.sent()
    world.now += timedelta(minutes=10) + step
    world.sent()
    world.now = world.now.replace(hour=2, minute=39)
    assert "night" not in world.sent()
    world.now += timedelta(minutes=1)
    assert "night" in world.sent()
    assert "night" not in world.sent()


def test_a_clock_that_was_ahead_delays_no_nightly_job(world: World) -> None:
    world.now += timedelta(days=365)
    assert "night" in world.sent()
    world.now = NOON
    world.restart()
    world.sent()
    world.now = datetime(2026, 3, 2, 2, 40, tzinfo=UTC)
    assert "night" in world.sent()


def test_a_nightly_job_missed_by_beat_runs_once_later(world: World) -> None:
    world.now = datetime(2026, 3, 2, 2, 40, tzinfo=UTC)
    world.sent()
    world.now = datetime(2026, 3, 3, 9, tzinfo=UTC)
    world.restart()
    assert "night" in world.sent()
    world.restart()
    assert "night" not in world.sent()


def shelve_file(path: Path) -> None:
    with dbm.open(str(path), "c") as shelf:
        shelf["entries"] = pickle.dumps({"tick": NOON + timedelta(hours=1)})


FILES: dict[str, Callable[[Path], object]] = {
    "in an hour": lambda path: path.write_text(json.dumps({"night": "2026-03-01T13:00:00+00:00"})),
    "in the year 9999": lambda path: path.write_text(json.dumps({"night": "9999-12-31T23:59:59.999999-23:59"})),
    "without a zone": lambda path: path.write_text(json.dumps({"night": "2027-03-01T13:00:00"})),
    "no time": lambda path: path.write_text(json.dumps({"night": "soon", "tick": 7, "minute": None})),
    "another form": lambda path: path.write_text("[1]"),
    "deep": lambda path: path.write_text("[" * 60_000),
    "half": lambda path: path.write_text('{"night": "2026-'),
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
    "a folder": lambda path: path.mkdir(),
    "celery's own": shelve_file,
}


@pytest.mark.parametrize("write", FILES.values(), ids=FILES)
def test_the_schedule_file_is_not_trusted(world: World, write: Callable[[Path], object]) -> None:
    world.file.unlink(missing_ok=True)
    write(world.file)
    world.restart()
    assert world.sent() == ["minute", "tick"]
    world.now = datetime(2026, 3, 2, 2, 40, tzinfo=UTC)
    assert "night" in world.sent()


def test_a_delayed_beat_sends_no_burst(world: World) -> None:
    world.advance(30)
    assert world.sent() == ["tick"]
    assert world.sent() in ([], ["tick"])
    assert world.sent() == []


def test_beat_adds_nothing_to_a_queue_without_a_worker(world: World) -> None:
    queue = world.app.conf.task_default_queue
    world.redis.rpush(queue, *["x"] * beat.MAX_QUEUED_MESSAGES)
    world.advance(60)
    world.scheduler.tick()
    assert world.redis.llen(queue) == beat.MAX_QUEUED_MESSAGES
    world.redis.delete(queue)
    world.advance(0.5)
    assert "tick" in world.sent()


def test_of_two_beats_one_sends(world: World, tmp_path: Path) -> None:
    first, second = world.scheduler, world.another_beat(tmp_path / "other")
    world.advance(60)
    world.scheduler = second
    assert world.sent() == []
    world.scheduler = first
    assert "tick" in world.sent()


def test_a_beat_takes_over_from_one_that_ended_or_died(world: World, tmp_path: Path) -> None:
    for let_go in (world.scheduler.close, lambda: world.redis.delete(*world.redis.keys("portal-beat:*"))):
        world.scheduler = world.another_beat(tmp_path / "other")
        assert world.sent() == []
        let_go()
        world.advance(60)
        assert world.sent() == ["minute", "tick"]


def test_a_beat_that_takes_over_repeats_no_nightly_job(world: World, tmp_path: Path) -> None:
    """Its own file says that it never sent the job, which has just succeeded."""
    yesterday = (NOON - timedelta(days=1)).isoformat()
    (tmp_path / "other").write_text(json.dumps({"night": yesterday}))
    marks.client().set(f"portal-mark:{marks.of_job('night')}", 1, px=marks.KEPT_FOR - timedelta(hours=9))
    world.scheduler.close()
    world.scheduler = world.another_beat(tmp_path / "other")
    world.advance(60)
    assert world.sent() == ["minute", "tick"]


def test_a_message_of_a_beat_that_stood_still_is_skipped(world: World) -> None:
    world.advance(0.5)
    assert "tick" in world.sent()
    term = world.term()
    world.restart()
    world.advance(0.5)
    world.sent()
    assert world.term() == term + 1
    assert not beat._is_of_earlier_term(term + 1, world.app)
    assert beat._is_of_earlier_term(term, world.app)


def test_a_full_queue_of_long_jobs_does_not_keep_the_limits_from_being_sent(world: World) -> None:
    world.app.conf.task_routes = {"minute": {"queue": "others"}}
    vars(world.app.amqp).pop("router", None)
    world.redis.rpush("others", *["x"] * beat.MAX_QUEUED_MESSAGES)
    world.advance(60)
    assert "tick" in world.sent()
    assert world.redis.llen("others") == beat.MAX_QUEUED_MESSAGES
    world.redis.delete("others")


@pytest.mark.proof  # test_the_schedule_file_is_not_trusted holds it in one process
def test_a_real_beat_with_a_schedule_file_from_the_future_sends_ticks(redis_url: str, tmp_path: Path) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    (tmp_path / "beat-schedule").write_text(json.dumps(dict.fromkeys(portal_app.conf.beat_schedule, tomorrow)))
    url = redis_url.removesuffix("/0") + "/9"
    env = {"VAR_DIR": str(tmp_path), "REDIS_URL": url}
    child = Child("beat", servers.command("beat", env), tmp_path / "log", env=env)
    waiting = redis.Redis.from_url(url)
    child.start()
    try:
        child.wait_until(lambda: waiting.llen("celery") > 10)
    finally:
        child.stop()
        waiting.flushdb()


@pytest.mark.parametrize("name", portal_app.conf.beat_schedule)
def test_no_job_depends_on_agreement_between_machines_clocks(redis_url: str, name: str) -> None:
    """With `expires`, a worker whose clock is ahead would discard every tick."""
    scheduler = SteadyScheduler(portal_app)
    client = redis.Redis.from_url(redis_url)
    with Connection(redis_url) as connection:
        producer = portal_app.amqp.Producer(connection, auto_declare=False)
        queue = uuid.uuid4().hex
        entry = scheduler.schedule[name]
        entry.options = {**(entry.options or {}), "queue": queue}
        scheduler.apply_async(entry, producer=producer, advance=False)
    message = json.loads(cast(bytes, client.lpop(queue)))
    assert (message["headers"]["task"], message["headers"]["expires"], message["headers"]["eta"]) == (
        entry.task, None, None,
    )  # fmt: skip
    assert message["headers"][beat.PAUSE_HEADER] > 0


@pytest.fixture
def job(redis_url: str) -> tuple[Task[Any, Any], list[str]]:
    app = Celery(
        "jobs", broker=redis_url, task_cls="heygen_portal.runtime.jobs.scheduler:PortalTask", set_as_current=False
    )
    done: list[str] = []

    @app.task(name=uuid.uuid4().hex)
    def work(which: str) -> None:
        done.append(which)

    marks.client.cache_clear()
    return work, done


def arrives(job: Task[Any, Any], which: str, *, pause_s: float | None = 3600) -> None:
    """Run a job as a worker does for a message with these headers."""
    headers = {} if pause_s is None else {beat.PAUSE_HEADER: pause_s}
    build_tracer(job.name, job, app=job.app)(uuid.uuid4().hex, [which], {}, headers)


def test_accumulated_ticks_run_once(job: tuple[Task[Any, Any], list[str]]) -> None:
    work, done = job
    for number in range(5):
        arrives(work, f"tick {number}")
    assert done == ["tick 0"]


def test_requested_jobs_always_run(job: tuple[Task[Any, Any], list[str]]) -> None:
    work, done = job
    for which in ("a", "b"):
        arrives(work, which, pause_s=None)
    assert done == ["a", "b"]


def test_the_next_tick_runs_after_the_pause(job: tuple[Task[Any, Any], list[str]], redis_url: str) -> None:
    work, done = job
    arrives(work, "first")
    redis.Redis.from_url(redis_url).delete(f"portal-job-begun:{work.name}")  # as when the key expires in Redis
    arrives(work, "second")
    assert done == ["first", "second"]


@pytest.mark.parametrize("stays_s", [3601, 7200, 86_400 * 400])
def test_a_marker_kept_alive_by_a_clock_set_back_delays_no_job(
    job: tuple[Task[Any, Any], list[str]], redis_url: str, stays_s: int
) -> None:
    work, done = job
    redis.Redis.from_url(redis_url).set(f"portal-job-begun:{work.name}", 1, ex=stays_s)
    arrives(work, "tick")
    arrives(work, "too soon")
    assert done == ["tick"]


def test_a_job_from_beat_leaves_a_sign_of_life_at_its_end(job: tuple[Task[Any, Any], list[str]]) -> None:
    work, _ = job
    mark = f"job:{work.name}"
    arrives(work, "asked for", pause_s=None)
    assert marks.ages([mark]) == {mark: None}
    arrives(work, "tick")
    assert marks.ages([mark])[mark] is not None


@override_settings(REDIS_URL="redis://127.0.0.1:1/0")
def test_jobs_run_without_redis(job: tuple[Task[Any, Any], list[str]]) -> None:
    work, done = job
    arrives(work, "tick")
    arrives(work, "tock")
    marks.client.cache_clear()
    assert done == ["tick", "tock"]
