"""One of several beats sends jobs, the others stand by. The lock is in Redis, and its term numbers are the fence."""

from __future__ import annotations

import logging
import uuid
from typing import Any, cast

from redis.exceptions import RedisError

from heygen_portal.redis import marks

logger = logging.getLogger(__name__)

LEASE_S = 10.0
RENEW_AFTER_S = 2.0

# Returns the number of the term in which this beat leads, or 0. A new term begins when the lock was free.
_ACQUIRE = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
if holder and redis.call('exists', KEYS[2]) == 1 then return tonumber(redis.call('get', KEYS[2])) end
return redis.call('incr', KEYS[2])
"""
_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class Leadership:
    """This beat's claim to be the one that sends jobs to a queue."""

    def __init__(self, queue: str) -> None:
        self._keys = [f"portal-beat:{queue}", term_key(queue)]
        self._token = uuid.uuid4().hex

    def acquire(self) -> int | None:
        """Return the number of the current term, 0 if another beat leads, or None if Redis does not answer."""
        try:
            answer = marks.client().eval(_ACQUIRE, 2, *self._keys, self._token, round(LEASE_S * 1000))
            return int(cast(Any, answer))
        except RedisError as exc:
            logger.warning("Redis did not say which beat leads: %s", type(exc).__name__)
            return None

    def release(self) -> None:
        """Let another beat lead at once."""
        try:
            marks.client().eval(_RELEASE, 1, self._keys[0], self._token)
        except RedisError as exc:
            logger.warning("the lead of this beat ends in %s s: %s", LEASE_S, type(exc).__name__)


def term_key(queue: str) -> str:
    return f"portal-beat-term:{queue}"
