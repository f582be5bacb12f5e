"""The cache: Redis, and each process's own memory while Redis is away or does not answer.

Limits, locks and marks that something was used once hold all the same, though each process knows only its own.
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
REDIS_REST_S = 5.0
"""After a failure a process uses its own memory this long before it asks Redis again."""
MOST_OWN_KEYS = 10_000
LARGEST_OWN_BYTES = 4096
"""Longer values, as a voice's sample, are not kept in memory: their callers ask for them again."""

_resting_until: dict[str, float] = {}


class _OwnCache(LocMemCache):
    """What this process keeps while Redis is away."""

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        if not isinstance(value, bytes) or len(value) <= LARGEST_OWN_BYTES:
            super().set(key, value, timeout, version=version)


class PortalCache(RedisCache):
    """Redis with a bounded fallback in this process."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        options = {
            # Once more for a connection that was closed while it was idle; a silent server is not asked twice.
            "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            "socket_timeout": REDIS_TIMEOUT_S,
            "socket_connect_timeout": REDIS_TIMEOUT_S,
            **params.get("OPTIONS", {}),
        }
        super().__init__(server, {**params, "OPTIONS": options})
        self._name = str(server)
        self._own = _OwnCache(f"away:{self._name}", {**params, "OPTIONS": {"MAX_ENTRIES": MOST_OWN_KEYS}})

    def _ask(self, what: str, *args: Any, **how: Any) -> Any:
        if time.monotonic() >= _resting_until.get(self._name, 0.0):
            try:
                return getattr(super(), what)(*args, **how)
            except RedisError as exc:
                logger.warning("the cache is this process's own for now: %s", type(exc).__name__)
                _resting_until[self._name] = time.monotonic() + REDIS_REST_S
        return getattr(self._own, what)(*args, **how)

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        # What was taken while Redis was away stays taken when it is back.
        if self._own.has_key(key, version=version):
            return False
        return bool(self._ask("add", key, value, timeout, version=version))

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._ask("get", key, default, version=version)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._ask("set", key, value, timeout, version=version)

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._ask("touch", key, timeout, version=version))

    def delete(self, key: str, version: int | None = None) -> bool:
        is_own = self._own.delete(key, version=version)
        return bool(self._ask("delete", key, version=version)) or is_own

    def has_key(self, key: str, version: int | None = None) -> bool:
        return bool(self._ask("has_key", key, version=version))

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        return int(self._ask("incr", key, delta, version=version))

    def get_many(self, keys: Any, version: int | None = None) -> dict[Any, Any]:
        return dict(self._ask("get_many", keys, version=version))

    def set_many(self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> list[Any]:
        return list(self._ask("set_many", data, timeout, version=version))

    def delete_many(self, keys: Any, version: int | None = None) -> None:
        self._own.delete_many(keys, version=version)
        self._ask("delete_many", keys, version=version)

    def clear(self) -> None:
        self._own.clear()
        self._ask("clear")
