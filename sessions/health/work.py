"""Whether the portal's work is done in time. Served as `/health/work`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils import timezone, translation
from redis.exceptions import RedisError

from avatars.models import Persona, ProviderAccount
from heygen_portal.health.probe import Probe
from heygen_portal.redis import marks
from heygen_portal.redis.marks import Sign
from heygen_portal.runtime.jobs import each_row
from heygen_portal.webhooks import backlog
from sessions.health import texts
from sessions.health.readings import Cause, Reading, State
from sessions.models import Check, HistoryCheck, StreamingSession

logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0
WEB_LIMIT = timedelta(minutes=1)
# Rows are read by jobs that run every minute, and some only every hour.
UNREADABLE_LIMIT = timedelta(hours=2)
LIMITS_JOB = marks.of_job("sessions.tasks.enforce_limits")
WORKER_JOB = marks.of_job("sessions.tasks.keep_books")


async def check() -> dict[str, Any]:
    """Return `status` and `checks`. Takes at most `TIMEOUT_S` seconds."""
    try:
        found = await _probe.ask(TIMEOUT_S)
    except TimeoutError:
        return {"status": "failing", "problem": "The database or Redis does not answer."}
    except Exception as exc:
        logger.exception("the portal's work could not be checked")
        return {"status": "failing", "problem": f"The check failed: {type(exc).__name__}."}
    with translation.override("en"):
        checks = {name.value: _as_data(name, reading) for name, reading in found.items()}
    return {"status": overall(found).value, "checks": checks}


def overall(found: Mapping[Check, Reading]) -> State:
    """Return the worst state of all checks."""
    states = {reading.state for reading in found.values()}
    return next((state for state in (State.FAILING, State.STARTING) if state in states), State.OK)


def read(now: datetime) -> dict[Check, Reading]:
    """Read all ages and judge them."""
    published = Persona.objects.published().values("avatar__account")
    accounts = each_row.readable(ProviderAccount.objects.filter(pk__in=published).order_by("pk"))
    found = {
        **_jobs_and_providers(accounts),
        Check.DEADLINES: _deadlines(now),
        Check.INTEGRITY_CHECK: _integrity_check(now),
    }
    if accounts:
        found[Check.CATALOGUE_SYNC] = _catalogue_sync(accounts, now)
    if (idle := backlog.idle_time(now)) is not None:
        found[Check.WEBHOOKS] = _judge(idle, timedelta(minutes=settings.HEALTH_WEBHOOK_MINUTES))
    if settings.BACKUP_STAMP_FILE:
        found[Check.BACKUP] = _backup(Path(settings.BACKUP_STAMP_FILE), now)
    return found


def _jobs_and_providers(accounts: Iterable[ProviderAccount]) -> dict[Check, Reading]:
    tick_limit = timedelta(seconds=settings.HEALTH_TICK_SECONDS)
    provider_limit = timedelta(minutes=settings.HEALTH_PROVIDER_MINUTES)
    mark_of = {account.pk: marks.of_account(account.pk) for account in accounts}
    try:
        signs = marks.read([marks.WEB, marks.BEAT, LIMITS_JOB, WORKER_JOB, *mark_of.values()])
        unreadable = marks.ages([marks.UNREADABLE])[marks.UNREADABLE]
    except RedisError:
        return {Check.REDIS: Reading(None, timedelta(seconds=marks.REDIS_TIMEOUT_S), Cause.NO_ANSWER)}
    found = {
        Check.WEB: _judge_sign(signs[marks.WEB], WEB_LIMIT),
        Check.BEAT: _judge_sign(signs[marks.BEAT], tick_limit),
        Check.LIMITS: _judge_sign(signs[LIMITS_JOB], tick_limit),
        Check.WORKER: _judge_sign(signs[WORKER_JOB], tick_limit),
    }
    is_new = unreadable is not None and unreadable <= UNREADABLE_LIMIT
    found[Check.ROWS] = Reading(unreadable, UNREADABLE_LIMIT, Cause.UNREADABLE if is_new else None)
    if mark_of:
        by_account = {pk: _judge_sign(signs[mark], provider_limit) for pk, mark in mark_of.items()}
        found[Check.PROVIDER] = _worst(by_account)
    return found


def _deadlines(now: datetime) -> Reading:
    overdue = StreamingSession.objects.due(now).values_list("deadline_at", flat=True).first()
    age = now - overdue if overdue else timedelta(0)
    return _judge(age, timedelta(seconds=settings.HEALTH_OVERDUE_SECONDS))


def _integrity_check(now: datetime) -> Reading:
    limit = timedelta(hours=settings.HEALTH_CHECK_HOURS)
    finished = HistoryCheck.objects.exclude(ended_at=None).order_by("-started_at")
    # Only these columns: tampering may have left others that cannot be read.
    last = finished.values_list("ended_at", "fault_count").first()
    if last is None:
        is_old = StreamingSession.objects.filter(created_at__lt=now - limit).exists()
        return Reading(None, limit, Cause.NEVER if is_old else None)
    ended_at, fault_count = last
    assert ended_at
    if fault_count:
        return Reading(now - ended_at, limit, Cause.FAULTS, faults=fault_count)
    return _judge(now - ended_at, limit)


def _catalogue_sync(accounts: Iterable[ProviderAccount], now: datetime) -> Reading:
    limit = timedelta(hours=settings.HEALTH_SYNC_HOURS)
    return _worst({row.pk: _judge(now - row.synced_at if row.synced_at else None, limit) for row in accounts})


def _backup(stamp: Path, now: datetime) -> Reading:
    try:
        age = timedelta(seconds=now.timestamp() - stamp.stat().st_mtime)
    except OSError:
        age = None
    return _judge(age, timedelta(hours=settings.HEALTH_BACKUP_HOURS))


def _worst(by_account: dict[int, Reading]) -> Reading:
    """Return the reading of the account that fails, else of one that starts, else of the oldest."""
    severity = {State.OK: 0, State.STARTING: 1, State.FAILING: 2}
    account_id, reading = max(
        by_account.items(),
        key=lambda item: (severity[item[1].state], timedelta.max if item[1].age is None else item[1].age),
    )
    return replace(reading, account_id=account_id)


def _judge_sign(sign: Sign, limit: timedelta) -> Reading:
    """Judge a sign of life. One that was never seen may be awaited for a while after a start."""
    grace = timedelta(seconds=settings.HEALTH_START_SECONDS)
    if sign.age is None and sign.expected_for <= grace:
        return Reading(None, limit, is_starting=True)
    return _judge(sign.age, limit)


def _judge(age: timedelta | None, limit: timedelta) -> Reading:
    if age is None:
        return Reading(None, limit, Cause.NEVER)
    return Reading(age, limit, Cause.LATE if age > limit else None)


def _as_data(check: Check, reading: Reading) -> dict[str, Any]:
    return {
        "state": reading.state.value,
        "age_seconds": None if reading.age is None else round(reading.age.total_seconds(), 1),
        "limit_seconds": reading.limit.total_seconds(),
        "problem": texts.problem(check, reading) if reading.cause else "",
    }


def _read_and_disconnect() -> dict[Check, Reading]:
    try:
        return read(timezone.now())
    finally:
        connections.close_all()


_probe = Probe(_read_and_disconnect)
