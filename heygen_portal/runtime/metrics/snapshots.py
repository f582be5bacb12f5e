"""The metrics of all processes, exchanged through Redis.

Every process stores a snapshot of its metrics every few seconds, so any web process can answer for all of them:
docs/decisions/metrics.md.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import uuid4

from django.conf import settings
from prometheus_client import Metric
from prometheus_client.samples import Sample
from redis.exceptions import RedisError

from heygen_portal.redis import marks
from heygen_portal.runtime import metrics

logger = logging.getLogger(__name__)

KEPT_S = 60
"""A process that has not stored a snapshot for so long is gone."""
MAX_PROCESSES = 1000
PROCESS_LABEL = "process"
_INDEX = "portal-metrics"

_thread: threading.Thread | None = None
_name = ""


def start(role: str) -> None:
    """Store snapshots from now on, in a thread. Idempotent within a process; call it again after a fork."""
    global _thread, _name
    if _thread is None or not _thread.is_alive():
        _name = f"{role}-{uuid4().hex[:8]}"
        _thread = threading.Thread(target=_store_for_ever, name="metrics", daemon=True)
        _thread.start()


def _store_for_ever() -> None:
    pause = threading.Event()
    while True:
        try:
            store(_name)
        except RedisError as exc:
            logger.debug("Redis did not store the metrics: %s", type(exc).__name__)
        except Exception:
            logger.exception("the metrics could not be stored")
        pause.wait(settings.METRICS_SECONDS)


def store(name: str) -> None:
    """Store a snapshot of this process's metrics. Raises RedisError."""
    pipeline = marks.client().pipeline(transaction=False)
    pipeline.sadd(_INDEX, name)
    pipeline.set(_key(name), json.dumps([_as_data(metric) for metric in metrics.registry.collect()]), ex=KEPT_S)
    pipeline.execute()


def collect() -> Iterator[Metric]:
    """Yield the metrics of this process and of the others, each sample with the name of its process.

    Raises RedisError before the first one.
    """
    families: dict[str, Metric] = {}
    _add(families, _name or "web", metrics.registry.collect())
    for name, found in _others():
        _add(families, name, map(_from_data, found))
    yield from families.values()


def own() -> Iterator[Metric]:
    """Yield the metrics of this process alone, for when Redis is away."""
    families: dict[str, Metric] = {}
    _add(families, _name or "web", metrics.registry.collect())
    yield from families.values()


def _others() -> list[tuple[str, list[Any]]]:
    client: Any = marks.client()
    names = sorted(name.decode() for name in client.smembers(_INDEX))[:MAX_PROCESSES]
    names = [name for name in names if name != _name]
    stored = client.mget([_key(name) for name in names]) if names else []
    if gone := [name for name, value in zip(names, stored, strict=True) if value is None]:
        client.srem(_INDEX, *gone)
    return [(name, json.loads(value)) for name, value in zip(names, stored, strict=True) if value is not None]


def _add(families: dict[str, Metric], process: str, found: Iterable[Metric]) -> None:
    for metric in found:
        family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
        for sample in _without_created(metric):
            family.samples.append(Sample(sample.name, {**sample.labels, PROCESS_LABEL: process}, sample.value))


def _without_created(metric: Metric) -> Iterator[Sample]:
    """Leave out when each series began: no dashboard needs it."""
    return (sample for sample in metric.samples if not sample.name.endswith("_created"))


def _as_data(metric: Metric) -> list[Any]:
    samples = [[sample.name, sample.labels, sample.value] for sample in _without_created(metric)]
    return [metric.name, metric.documentation, metric.type, samples]


def _from_data(data: list[Any]) -> Metric:
    name, documentation, kind, samples = data
    metric = Metric(name, documentation, kind)
    for sample in samples:
        metric.samples.append(Sample(*sample))
    return metric


def _key(name: str) -> str:
    return f"{_INDEX}:{name}"
