"""Signs of life of beat and worker, in Redis.

Their age is read from the time left to live, so that only the clock of Redis counts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
BEAT = "beat"


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
    left_ms = pipeline.execute()
    return {mark: _age(left) for mark, left in zip(marks, left_ms, strict=True)}


def _age(left_ms: int) -> timedelta | None:
    if left_ms < 0:
        return None
    return max(timedelta(0), KEPT_FOR - timedelta(milliseconds=left_ms))


def _key(mark: str) -> str:
    return f"portal-mark:{mark}"


@cache
def client() -> redis.Redis:
    """Return this process's client, which neither retries nor waits long."""
    times = {"socket_timeout": REDIS_TIMEOUT_S, "socket_connect_timeout": REDIS_TIMEOUT_S}
    return redis.Redis.from_url(settings.REDIS_URL, retry=Retry(NoBackoff(), 0), **times)
