"""Whether the portal's work is done in time. Served as `/health/work`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils import timezone
from redis.exceptions import RedisError

from avatars.models import Persona, ProviderAccount
from heygen_portal.health.probe import Probe
from heygen_portal.runtime.jobs import marks
from sessions.models import HistoryCheck, StreamingSession

logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0
WORKER_JOB = marks.of_job("sessions.tasks.enforce_limits")


@dataclass(frozen=True)
class Reading:
    """Age of what was last done, or of what waits longest, and the limit of that age."""

    age: timedelta | None
    limit: timedelta
    problem: str = ""

    def as_data(self) -> dict[str, Any]:
        age = None if self.age is None else round(self.age.total_seconds(), 1)
        return {"age_seconds": age, "limit_seconds": self.limit.total_seconds(), "problem": self.problem}


async def check() -> dict[str, Any]:
    """Return `status` and `checks`. Takes at most `TIMEOUT_S` seconds."""
    try:
        found = await _probe.ask(TIMEOUT_S)
    except TimeoutError:
        return {"status": "failing", "problem": "The database or Redis does not answer."}
    except Exception as exc:
        logger.exception("the portal's work could not be checked")
        return {"status": "failing", "problem": f"The check failed: {type(exc).__name__}."}
    is_failing = any(reading.problem for reading in found.values())
    checks = {name: reading.as_data() for name, reading in found.items()}
    return {"status": "failing" if is_failing else "ok", "checks": checks}


def read(now: datetime) -> dict[str, Reading]:
    """Read all ages and judge them."""
    accounts = list(ProviderAccount.objects.filter(pk__in=Persona.objects.published().values("avatar__account")))
    found = {
        **_jobs_and_providers(accounts),
        "deadlines": _deadlines(now),
        "integrity_check": _integrity_check(now),
    }
    if accounts:
        found["catalogue_sync"] = _catalogue_sync(accounts, now)
    if settings.BACKUP_STAMP_FILE:
        found["backup"] = _backup(Path(settings.BACKUP_STAMP_FILE), now)
    return found


def _jobs_and_providers(accounts: Iterable[ProviderAccount]) -> dict[str, Reading]:
    tick_limit = timedelta(seconds=settings.HEALTH_TICK_SECONDS)
    provider_limit = timedelta(minutes=settings.HEALTH_PROVIDER_MINUTES)
    names = {marks.of_account(account.pk): f"account {account.pk}" for account in accounts}
    try:
        ages = marks.ages([marks.BEAT, WORKER_JOB, *names])
    except RedisError:
        return {"redis": Reading(None, timedelta(seconds=marks.REDIS_TIMEOUT_S), "Redis does not answer.")}
    found = {
        "beat": _judge(ages[marks.BEAT], tick_limit, "No beat is running"),
        "worker": _judge(ages[WORKER_JOB], tick_limit, "No worker enforces the limits"),
    }
    if names:
        oldest, age = _oldest({name: ages[mark] for mark, name in names.items()})
        found["provider"] = _judge(age, provider_limit, f"The provider of {oldest} does not list its sessions")
    return found


def _deadlines(now: datetime) -> Reading:
    overdue = StreamingSession.objects.due(now).values_list("deadline_at", flat=True).first()
    age = now - overdue if overdue else timedelta(0)
    return _judge(age, timedelta(seconds=settings.HEALTH_OVERDUE_SECONDS), "A session's deadline is overdue")


def _integrity_check(now: datetime) -> Reading:
    limit = timedelta(hours=settings.HEALTH_CHECK_HOURS)
    last = HistoryCheck.objects.exclude(ended_at=None).order_by("-started_at").first()
    if last is None or last.ended_at is None:
        is_old = StreamingSession.objects.filter(created_at__lt=now - limit).exists()
        return Reading(None, limit, "The record has never been verified." if is_old else "")
    age = now - last.ended_at
    if last.fault_count:
        return Reading(age, limit, f"The last integrity check found {last.fault_count} problems.")
    return _judge(age, limit, "The record was not verified")


def _catalogue_sync(accounts: Iterable[ProviderAccount], now: datetime) -> Reading:
    ages = {f"account {row.pk}": now - row.synced_at if row.synced_at else None for row in accounts}
    oldest, age = _oldest(ages)
    return _judge(age, timedelta(hours=settings.HEALTH_SYNC_HOURS), f"The catalogue of {oldest} was not synced")


def _backup(stamp: Path, now: datetime) -> Reading:
    try:
        age = timedelta(seconds=now.timestamp() - stamp.stat().st_mtime)
    except OSError:
        age = None
    return _judge(age, timedelta(hours=settings.HEALTH_BACKUP_HOURS), "No backup was made")


def _oldest(ages: dict[str, timedelta | None]) -> tuple[str, timedelta | None]:
    """Return the entry that was never done, otherwise the oldest."""
    return max(ages.items(), key=lambda item: timedelta.max if item[1] is None else item[1])


def _judge(age: timedelta | None, limit: timedelta, problem: str) -> Reading:
    if age is None:
        return Reading(None, limit, f"{problem}: never in the last {marks.KEPT_FOR.days} days.")
    return Reading(age, limit, f"{problem}: {age} exceeds {limit}." if age > limit else "")


def _read_and_disconnect() -> dict[str, Reading]:
    try:
        return read(timezone.now())
    finally:
        connections.close_all()


_probe = Probe(_read_and_disconnect)
