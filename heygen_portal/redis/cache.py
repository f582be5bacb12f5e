"""Cache in Redis, with a fallback to the process's memory while Redis is down.

During a fallback, limits, locks and one-time marks still hold, but only within each process.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

logger = logging.getLogger(__name__)

REDIS_TIMEOUT_S = 0.5
REDIS_RETRY_S = 5.0
"""Seconds after a failure during which a process uses its own memory."""
MAX_LOCAL_KEYS = 10_000
MAX_LOCAL_VALUE_BYTES = 4096
"""Larger values, such as voice samples, are not kept in memory. Callers fetch them again."""

_redis_retry_at: dict[str, float] = {}


class _LocalCache(LocMemCache):
    """Fallback in the memory of this process."""

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        if not isinstance(value, bytes) or len(value) <= MAX_LOCAL_VALUE_BYTES:
            super().set(key, value, timeout, version=version)


class PortalCache(RedisCache):
    """Redis with a bounded fallback in this process."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        options = {
            # Retry a connection that was closed while idle, but not a server that does not answer.
            "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            "socket_timeout": REDIS_TIMEOUT_S,
            "socket_connect_timeout": REDIS_TIMEOUT_S,
            **params.get("OPTIONS", {}),
        }
        super().__init__(server, {**params, "OPTIONS": options})
        self._name = str(server)
        self._local = _LocalCache(f"away:{self._name}", {**params, "OPTIONS": {"MAX_ENTRIES": MAX_LOCAL_KEYS}})

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= _redis_retry_at.get(self._name, 0.0):
            try:
                return getattr(super(), method)(*args, **kwargs)
            except RedisError as exc:
                logger.warning("Redis is not available, the cache uses this process's memory: %s", type(exc).__name__)
                _redis_retry_at[self._name] = time.monotonic() + REDIS_RETRY_S
        return getattr(self._local, method)(*args, **kwargs)

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        # A key added while Redis was down stays taken when Redis is back.
        if self._local.has_key(key, version=version):
            return False
        return bool(self._call("add", key, value, timeout, version=version))

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._call("get", key, default, version=version)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._call("set", key, value, timeout, version=version)

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._call("touch", key, timeout, version=version))

    def delete(self, key: str, version: int | None = None) -> bool:
        was_local = self._local.delete(key, version=version)
        return bool(self._call("delete", key, version=version)) or was_local

    def has_key(self, key: str, version: int | None = None) -> bool:
        return bool(self._call("has_key", key, version=version))

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        return int(self._call("incr", key, delta, version=version))

    def get_many(self, keys: Any, version: int | None = None) -> dict[Any, Any]:
        return dict(self._call("get_many", keys, version=version))

    def set_many(self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> list[Any]:
        return list(self._call("set_many", data, timeout, version=version))

    def delete_many(self, keys: Any, version: int | None = None) -> None:
        self._local.delete_many(keys, version=version)
        self._call("delete_many", keys, version=version)

    def clear(self) -> None:
        self._local.clear()
        self._call("clear")
