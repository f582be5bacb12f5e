"""The metrics of all processes, and of what they share, for Prometheus. Served as `/metrics`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import DatabaseError, connection, connections
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import Metric, generate_latest
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from heygen_portal.health.probe import Probe
from heygen_portal.redis import marks
from heygen_portal.runtime.jobs import queues
from heygen_portal.runtime.metrics import snapshots
from heygen_portal.webhooks import backlog
from sessions.health import work
from sessions.health.readings import State
from sessions.models import Incident, QueueEntry, Status, StreamingSession

logger = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TIMEOUT_S = 5.0

# What the portal's processes share: name, meaning, label.
SHARED = {
    "portal_database_up": ("Whether the database answered.", ""),
    "portal_redis_up": ("Whether Redis answered.", ""),
    "portal_sessions": ("Open sessions by state.", "state"),
    "portal_queue_length": ("People who wait for a slot.", ""),
    "portal_queue_oldest_wait_seconds": ("For how long the first of them has waited.", ""),
    "portal_check_failing": ("Whether a check of /health/work fails.", "check"),
    "portal_check_age_seconds": ("Age that a check of /health/work compares with its limit.", "check"),
    "portal_incidents_open": ("Incidents that are not over.", ""),
    "portal_database_connections": ("Connections to the database on PostgreSQL, by state.", "state"),
    "portal_database_connections_max": ("Connections that PostgreSQL accepts.", ""),
    "portal_jobs_queued": ("Jobs that no worker has taken yet, by queue.", "queue"),
    "portal_webhooks_waiting": ("Deliveries that wait for webhooks that are not paused.", ""),
    "portal_webhooks_oldest_due_seconds": ("For how long the first of them has been due.", ""),
    "portal_webhooks_paused": ("Paused webhooks, by reason.", "because"),
    "portal_redis_connections": ("Connections to Redis.", ""),
    "portal_redis_connections_max": ("Connections that Redis accepts.", ""),
    "portal_redis_memory_bytes": ("Memory that Redis uses.", ""),
    "portal_redis_memory_max_bytes": ("Memory that Redis may use; 0 without a limit.", ""),
}
_ACTIVITY = (
    "SELECT coalesce(state, 'other'), count(*) FROM pg_stat_activity WHERE datname = current_database() GROUP BY 1"
)
_CONNECTION_STATES = ("active", "idle", "idle in transaction", "other")


class _Found(Collector):
    """Metrics that were collected already."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        yield from self._found


async def content() -> bytes:
    """Return the page within `TIMEOUT_S`: without what is shared if the database or Redis does not answer."""
    try:
        return await _probe.ask(TIMEOUT_S)
    except TimeoutError:
        return _page([*snapshots.own(), *_as_metrics({"portal_database_up": {"": 0}})])


def page(now: datetime) -> bytes:
    """Return the metrics in Prometheus' text format."""
    shared = _database(now) | _redis()
    try:
        measured = list(snapshots.collect())
    except (RedisError, ValueError):
        measured = list(snapshots.own())
    return _page([*measured, *_as_metrics(shared)])


def _page(found: list[Metric]) -> bytes:
    return generate_latest(_Found(found))


def _as_metrics(values: dict[str, dict[str, float]]) -> Iterator[Metric]:
    for name, by_label in values.items():
        meaning, label = SHARED[name]
        metric = Metric(name, meaning, "gauge")
        for value_of, value in by_label.items():
            metric.add_sample(name, {label: value_of} if label else {}, value)
        yield metric


def _database(now: datetime) -> dict[str, dict[str, float]]:
    try:
        return {"portal_database_up": {"": 1}, **_rows(now), **_webhooks(now), **_checks(now), **_connections()}
    except DatabaseError:
        return {"portal_database_up": {"": 0}}
    except Exception:
        logger.exception("the shared metrics could not be read")
        return {"portal_database_up": {"": 1}}


def _rows(now: datetime) -> dict[str, dict[str, float]]:
    counts = dict(StreamingSession.objects.open().order_by().values_list("status").annotate(Count("pk")))
    waiting = QueueEntry.objects.aggregate(count=Count("pk"), since=Min("created_at"))
    oldest = max(0.0, (now - waiting["since"]).total_seconds()) if waiting["since"] else 0
    return {
        "portal_sessions": {state.value: counts.get(state, 0) for state in Status if state != Status.ENDED},
        "portal_queue_length": {"": waiting["count"]},
        "portal_queue_oldest_wait_seconds": {"": oldest},
        "portal_incidents_open": {"": Incident.objects.current().shown().count()},
    }


def _webhooks(now: datetime) -> dict[str, dict[str, float]]:
    found = backlog.read(now)
    return {
        "portal_webhooks_waiting": {"": found.waiting},
        "portal_webhooks_oldest_due_seconds": {"": found.oldest_due.total_seconds()},
        "portal_webhooks_paused": dict(found.paused),
    }


def _checks(now: datetime) -> dict[str, dict[str, float]]:
    found = work.read(now)
    ages = {name.value: reading.age.total_seconds() for name, reading in found.items() if reading.age is not None}
    failing = {name.value: float(reading.state == State.FAILING) for name, reading in found.items()}
    return {"portal_check_failing": failing, "portal_check_age_seconds": ages}


def _connections() -> dict[str, dict[str, float]]:
    if connection.vendor != "postgresql":
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVITY)
        counts = dict.fromkeys(_CONNECTION_STATES, 0.0)
        for state, count in cursor.fetchall():
            counts[state if state in counts else "other"] += count
        cursor.execute("SHOW max_connections")
        return {
            "portal_database_connections": counts,
            "portal_database_connections_max": {"": float(cursor.fetchone()[0])},
        }


def _redis() -> dict[str, dict[str, float]]:
    client: Any = marks.client()
    try:
        info = client.info()
        queued = {queue: client.llen(queue) for queue in queues.ALL}
    except RedisError:
        return {"portal_redis_up": {"": 0}}
    return {
        "portal_redis_up": {"": 1},
        "portal_jobs_queued": queued,
        "portal_redis_connections": {"": info["connected_clients"]},
        "portal_redis_connections_max": {"": info["maxclients"]},
        "portal_redis_memory_bytes": {"": info["used_memory"]},
        "portal_redis_memory_max_bytes": {"": info["maxmemory"]},
    }


def _page_and_disconnect() -> bytes:
    try:
        return page(timezone.now())
    finally:
        connections.close_all()


_probe = Probe(_page_and_disconnect)
