"""Signs of life of the processes, in Redis.

Their age is read from the time left to live, so that only the clock of Redis counts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

logger = logging.getLogger(__name__)

REDIS_TIMEOUT_S = 1.0
KEPT_FOR = timedelta(days=7)
EXPECTED_FOR = timedelta(days=365)
WEB, BEAT = "web", "beat"
UNREADABLE = "unreadable-row"
"""Put when a job meets a row that cannot be read."""


@dataclass(frozen=True)
class Sign:
    """How long ago a mark was put, and for how long it has been looked for.

    `age` is None if the mark was not put within `KEPT_FOR`.
    """

    age: timedelta | None
    expected_for: timedelta


def of_job(name: str) -> str:
    return f"job:{name}"


def of_account(account_id: int) -> str:
    return f"account:{account_id}"


def put(mark: str) -> None:
    """Record that something has just worked. Only logs if Redis does not answer."""
    try:
        client().set(_key(mark), 1, px=KEPT_FOR)
    except RedisError as exc:
        logger.warning("Redis did not store that %s works: %s", mark, type(exc).__name__)


def ages(marks: Sequence[str]) -> dict[str, timedelta | None]:
    """Return how long ago each mark was put; None if over `KEPT_FOR` ago.

    Raises RedisError.
    """
    pipeline = client().pipeline(transaction=False)
    for mark in marks:
        pipeline.pttl(_key(mark))
    return {mark: _age(left, KEPT_FOR) for mark, left in zip(marks, pipeline.execute(), strict=True)}


def read(marks: Sequence[str]) -> dict[str, Sign]:
    """Return the marks' ages, and note in Redis since when each is looked for.

    So a mark that nobody has put yet can be told from one that has been missing for long, also after Redis lost its
    memory. Raises RedisError.
    """
    pipeline = client().pipeline(transaction=False)
    for mark in marks:
        pipeline.set(f"{_key(mark)}:expected", 1, px=EXPECTED_FOR, nx=True)
        pipeline.pttl(f"{_key(mark)}:expected")
        pipeline.pttl(_key(mark))
    answers = pipeline.execute()
    return {
        mark: Sign(_age(left, KEPT_FOR), _age(expected_left, EXPECTED_FOR) or timedelta(0))
        for mark, expected_left, left in zip(marks, answers[1::3], answers[2::3], strict=True)
    }


def _age(left_ms: int, kept_for: timedelta) -> timedelta | None:
    if left_ms < 0:
        return None
    return max(timedelta(0), kept_for - timedelta(milliseconds=left_ms))


def _key(mark: str) -> str:
    return f"portal-mark:{mark}"


@cache
def client() -> redis.Redis:
    """Return this process's client, which neither retries nor waits long."""
    times = {"socket_timeout": REDIS_TIMEOUT_S, "socket_connect_timeout": REDIS_TIMEOUT_S}
    return redis.Redis.from_url(settings.REDIS_URL, retry=Retry(NoBackoff(), 0), **times)
