"""A beat scheduler for changing clocks, and a task class without duplicates.

Celery's own scheduler compares the system clock with the times in its file: after the clock is set back, it sends
nothing until the clock has caught up. `expires` compares the worker's clock with beat's.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from celery import Task
from celery.beat import Scheduler
from celery.exceptions import Ignore
from celery.schedules import crontab
from redis.exceptions import RedisError

from heygen_portal.redis import marks
from heygen_portal.runtime import logs, metrics, tracing
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import alive, job_loop, leader
from heygen_portal.runtime.jobs.leader import Leadership

logger = logging.getLogger(__name__)

Entry = Any  # the stubs of ScheduleEntry lack its attributes

RETRY_S = 5.0
PAUSE_HEADER = "portal_pause_s"
"""Header of beat's messages: seconds for which the same job is not started again."""
TERM_HEADER = "portal_beat_term"
"""Header of beat's messages: the term in which it led. One of an earlier term comes from a beat that stood still."""
CRONTAB_PAUSE_S = 1800.0
MAX_QUEUED_MESSAGES = 1000
"""Queue length at which beat stops sending, because no worker consumes the messages."""
MAX_FILE_BYTES = 64 * 1024
MARK_S = 5.0
"""Seconds between two signs of life of beat."""
HEARTBEAT_S = 10.0
"""A job without work is sent this often all the same: its sign of life, and the limit of an error in `has_work`."""
HAS_WORK_TIMEOUT = timedelta(seconds=1)


class SteadyScheduler(Scheduler):
    """Schedule intervals by the monotonic clock and crontabs by the system clock.

    The schedule file stores when each crontab was last sent, so that a job missed at night is sent after a restart.
    Times in the future count as now.

    A job whose `has_work` finds nothing is skipped, so that an idle portal costs next to nothing. While the database
    does not answer, all jobs are sent.
    """

    max_interval = 2  # seconds

    def __init__(
        self, app: Any, *, schedule_filename: str = "", clock: Callable[[], float] = time.monotonic, **kwargs: Any
    ):
        self._file = Path(schedule_filename) if schedule_filename else None
        self._clock = clock
        self._next_at: dict[str, float] = {}
        self._sent_at: dict[str, float] = {}
        self._asks_again_at = 0.0
        self._marks_again_at = 0.0
        self._full_queues: set[str] = set()
        self._leadership = Leadership(app.conf.task_default_queue)
        self._term = 0
        self._leads_until = 0.0
        super().__init__(app, **kwargs)

    def setup_schedule(self) -> None:
        super().setup_schedule()
        sent = self._read()
        for entry in self._entries():
            entry.last_run_at = min(sent.get(entry.name, entry.last_run_at), self.app.now())
            entry.options = {**entry.options, "headers": {PAUSE_HEADER: _pause_s(entry)}}

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send due jobs and return the seconds until the next tick."""
        if not self._leads():
            alive.renew()
            return leader.RENEW_AFTER_S
        metrics.ticks.inc()
        entries = self._entries()
        for entry in entries:
            if self._seconds_until_due(entry) > 0:
                continue
            if self._has_work(entry):
                self._send(entry)
            else:
                self._plan_next(entry, self._clock())
        if self._clock() >= self._marks_again_at:
            marks.put(marks.BEAT)
            alive.renew()
            self._marks_again_at = self._clock() + MARK_S
        return float(min([self.max_interval, *map(self._seconds_until_due, entries)]))

    def close(self) -> None:
        self._leadership.release()
        super().close()

    def _leads(self) -> bool:
        """Whether this beat sends the jobs.

        Without Redis it does as before: nothing can be sent anyway.
        """
        if self._clock() >= self._leads_until:
            term = self._leadership.acquire()
            if term is None:
                return True
            if term and term != self._term:
                self._begin_term(term)
            self._term = term
            self._leads_until = self._clock() + (leader.RENEW_AFTER_S if term else 0)
        return bool(self._term)

    def _begin_term(self, term: int) -> None:
        """Stamp messages with the term, and leave out nightly jobs that another beat has sent."""
        for entry in self._entries():
            entry.options = {**entry.options, "headers": {**entry.options["headers"], TERM_HEADER: term}}
        nightly = [entry for entry in self._entries() if isinstance(entry.schedule, crontab)]
        try:
            ages = marks.ages([marks.of_job(entry.task) for entry in nightly])
        except RedisError:
            return  # a job that was just sent is skipped by the worker
        for entry in nightly:
            if (age := ages[marks.of_job(entry.task)]) is not None:
                entry.last_run_at = max(entry.last_run_at, self.app.now() - age)

    def _entries(self) -> list[Entry]:
        return list(self.schedule.values())

    def _seconds_until_due(self, entry: Entry) -> float:
        """Return the seconds until an entry is due."""
        pause = self._next_at.get(entry.name, 0) - self._clock()
        if pause > 0 or not isinstance(entry.schedule, crontab):
            return pause
        entry.last_run_at = min(entry.last_run_at, self.app.now())
        is_due, wait = entry.is_due()
        return 0 if is_due else float(wait)

    def _send(self, entry: Entry) -> None:
        now = self._clock()
        is_crontab = isinstance(entry.schedule, crontab)
        try:
            has_room = self._queue_has_room(entry)
            is_sent = has_room and bool(self.apply_async(entry, producer=self.producer, advance=False))
        except Exception:
            logger.exception("%s could not be sent", entry.name)
            is_sent = False
        if not is_crontab:
            metrics.job_lateness.observe(max(0.0, now - self._next_at.get(entry.name, now)))
            self._plan_next(entry, now)
            if is_sent:
                self._sent_at[entry.name] = now
        elif is_sent:
            entry.last_run_at = self.app.now()
            self._write()
        else:
            self._next_at[entry.name] = now + RETRY_S

    def _plan_next(self, entry: Entry, now: float) -> None:
        """Count an interval from when it was due, but never send a burst to catch up."""
        every = entry.schedule.run_every.total_seconds()
        self._next_at[entry.name] = max(self._next_at.get(entry.name, now) + every, now)

    def _has_work(self, entry: Entry) -> bool:
        """Whether to send a job.

        It is not asked at its heartbeat, nor for a while after it could not answer.
        """
        now = self._clock()
        has_work = getattr(self.app.tasks.get(entry.task), "has_work", None)
        is_heartbeat = now - self._sent_at.get(entry.name, -HEARTBEAT_S) >= HEARTBEAT_S
        if has_work is None or is_heartbeat or now < self._asks_again_at:
            return True
        try:
            return job_loop.run(_answer(has_work), HAS_WORK_TIMEOUT)
        except Exception:
            logger.exception("%s is sent, because its work could not be looked up", entry.name)
            self._asks_again_at = self._clock() + HEARTBEAT_S
            return True

    def _queue_has_room(self, entry: Entry) -> bool:
        """Whether workers consume the job's queue, which is in Redis' memory."""
        producer = cast(Any, self.producer)
        queue = self.app.amqp.router.route({}, entry.task)["queue"].name
        try:
            waiting = producer.channel.queue_declare(queue=queue, passive=True).message_count
        except producer.connection.channel_errors:  # the queue does not exist yet
            waiting = 0
        if waiting < MAX_QUEUED_MESSAGES:
            self._full_queues.discard(queue)
            return True
        if queue not in self._full_queues:
            self._full_queues.add(queue)
            logger.error("%s: %s messages wait and no worker consumes them; sending is paused", queue, waiting)
        return False

    def _read(self) -> dict[str, datetime]:
        """Return when each crontab was last sent, as far as the file can be read."""
        if not self._file or not self._file.exists():
            return {}
        sent = {}
        try:
            with self._file.open("rb") as file:
                stored = json.loads(file.read(MAX_FILE_BYTES))
            for name, at in stored.items():
                with suppress(ValueError, TypeError):
                    moment = datetime.fromisoformat(at)
                    sent[str(name)] = moment if moment.tzinfo else moment.replace(tzinfo=self.app.now().tzinfo)
        except (OSError, ValueError, AttributeError, RecursionError) as exc:
            logger.warning("%s cannot be read and will be overwritten: %s", self._file, type(exc).__name__)
        return sent

    def _write(self) -> None:
        if not self._file:
            return
        sent = {
            entry.name: entry.last_run_at.isoformat()
            for entry in self._entries()
            if isinstance(entry.schedule, crontab)
        }
        replacement = self._file.with_name(f"{self._file.name}.new")
        try:
            replacement.write_text(json.dumps(sent, indent=1))
            os.replace(replacement, self._file)
        except OSError as exc:
            logger.warning("%s cannot be written: %s", self._file, exc)


async def _answer(has_work: Callable[[], bool]) -> bool:
    return await in_thread(has_work)()


def _pause_s(entry: Entry) -> float:
    """Return the seconds after its start during which a job is not started again."""
    if isinstance(entry.schedule, crontab):
        return CRONTAB_PAUSE_S
    return float(entry.schedule.run_every.total_seconds()) / 2


class PortalTask(Task[Any, Any]):
    """Base class of all jobs.

    Skips a job from beat if the same job has just started on any machine.

    So jobs that piled up while no worker was free run once.
    """

    has_work: Callable[[], bool] | None = None
    """A static method that beat calls before it sends the job. A job without one is always sent."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the job as a part of the trace of the request that sent it."""
        traceparent = self.request.get(tracing.HEADER) or ""
        measured = tracing.span(self.name) if traceparent else nullcontext()  # ticks have no trace
        with logs.bound(request=self.request.id or ""), tracing.continued(traceparent), measured:
            return super().__call__(*args, **kwargs)

    def apply_async(self, *args: Any, **options: Any) -> Any:
        if traceparent := tracing.carrier():
            options["headers"] = {**(options.get("headers") or {}), tracing.HEADER: traceparent}
        return super().apply_async(*args, **options)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        pause_s, term = self.request.get(PAUSE_HEADER), self.request.get(TERM_HEADER)
        if pause_s and (_is_of_earlier_term(term, self.app) or _began_recently(self.name, pause_s)):
            metrics.jobs.labels(self.name, "skipped").inc()
            raise Ignore
        request: Any = self.request
        request.portal_began_at = time.monotonic()

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self._measure("done")
        if self.request.get(PAUSE_HEADER):
            marks.put(marks.of_job(self.name))

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self._measure("failed")

    def _measure(self, outcome: str) -> None:
        metrics.jobs.labels(self.name, outcome).inc()
        if began_at := getattr(self.request, "portal_began_at", None):
            metrics.job_time.labels(self.name).observe(time.monotonic() - began_at)


def _is_of_earlier_term(term: int | None, app: Any) -> bool:
    """Whether another beat leads since the message was sent. Return False if Redis does not answer."""
    if not term:
        return False
    try:
        current = marks.client().get(leader.term_key(app.conf.task_default_queue))
    except RedisError:
        return False
    return bool(current) and int(cast(Any, current)) > term


def _began_recently(name: str, pause_s: float) -> bool:
    """Record a start, and return whether one happened less than `pause_s` ago.

    Return False if Redis does not answer.
    """
    key, pause_ms = f"portal-job-begun:{name}", round(pause_s * 1000)
    try:
        if marks.client().set(key, 1, nx=True, px=pause_ms):
            return False
        if marks.client().pttl(key) <= pause_ms:
            return True
        marks.client().set(key, 1, px=pause_ms)  # the server's clock was set back, so the mark would stay too long
    except RedisError:
        logger.warning("Redis did not answer whether %s has just started", name)
    return False
