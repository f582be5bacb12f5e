"""Metrics of calls: how many, how long, with which outcome."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from heygen_portal.providers.contract.model_errors import ModelError, ModelRefused
from heygen_portal.providers.contract.provider import NotSent, ProviderRejected, ProviderUnreachable, SessionGone
from heygen_portal.runtime import metrics, tracing

# A part of a path that is a word of the API, not an ID.
WORD = re.compile(r"[a-z_.]{1,40}|v\d")
MAX_CALLS = 100
_known: set[str] = set()


@contextmanager
def measured(provider: str, method: str, path: str) -> Iterator[None]:
    """Count and time one call."""
    call, began_at, outcome = name_of(method, path), time.perf_counter(), "ok"
    try:
        with tracing.span(call):
            yield
    except BaseException as exc:
        outcome = _outcome(exc)
        raise
    finally:
        metrics.provider_calls.labels(provider, call, outcome).inc()
        metrics.provider_call_time.labels(provider, call).observe(time.perf_counter() - began_at)


@lru_cache(maxsize=1000)
def name_of(method: str, path: str) -> str:
    """Return a call's name without IDs, as "POST /v1/sessions/{id}". At most `MAX_CALLS` names are used."""
    parts = [part if WORD.fullmatch(part) else "{id}" for part in path.strip("/").split("/")]
    name = f"{method} /{'/'.join(parts)}"
    if name not in _known and len(_known) >= MAX_CALLS:
        return "other"
    _known.add(name)
    return name


def _outcome(exc: BaseException) -> str:
    if isinstance(exc, SessionGone):
        return "gone"
    if isinstance(exc, ProviderRejected | ModelRefused):
        return "rejected"
    if isinstance(exc, NotSent):
        return "not_sent"
    return "unreachable" if isinstance(exc, ProviderUnreachable | ModelError) else "cancelled"
