"""Readiness of this process: database, migrations and Redis (`/health/ready`)."""

from __future__ import annotations

import asyncio
import logging
from functools import cache

import redis.asyncio
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from psycopg.errors import ConnectionTimeout

from heygen_portal.health.probe import Probe
from heygen_portal.postgresql.base import NoAnswer

logger = logging.getLogger(__name__)

CHECK_TIMEOUT_S = 3.0
OK = "ok"
UNAVAILABLE = "unavailable"
NO_ANSWER = "no answer"
CHECK_FAILED = "check failed"
MIGRATIONS_MISSING = "migrations missing"
# A connection that accepted and then lost its network ends, and its thread with it.
POSTGRES_TIMEOUTS = {"connect_timeout": 3, "keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2}

_in_flight: asyncio.Task[dict[str, str]] | None = None


async def check() -> dict[str, str]:
    """Return the state of each service by name, within `CHECK_TIMEOUT_S` seconds.

    Simultaneous requests share one check, so that strangers cannot multiply its queries.
    """
    global _in_flight
    if _in_flight is None or _in_flight.done():
        _in_flight = asyncio.create_task(_check())
    return await asyncio.shield(_in_flight)


async def _check() -> dict[str, str]:
    database, cache_and_broker = await asyncio.gather(_check_database(), _check_redis())
    return {"database": database, "redis": cache_and_broker}


async def _check_redis() -> str:
    try:
        async with (
            asyncio.timeout(CHECK_TIMEOUT_S),
            redis.asyncio.Redis.from_url(
                settings.REDIS_URL, socket_timeout=CHECK_TIMEOUT_S, socket_connect_timeout=CHECK_TIMEOUT_S
            ) as client,
        ):
            await client.echo("ready?")
    except (TimeoutError, redis.TimeoutError):
        return NO_ANSWER
    except (redis.RedisError, OSError):
        return UNAVAILABLE
    except Exception:
        logger.exception("Redis could not be checked")
        return CHECK_FAILED
    return OK


async def _check_database() -> str:
    try:
        return await _database.ask(CHECK_TIMEOUT_S)
    except TimeoutError:
        return NO_ANSWER
    except DatabaseError as exc:
        # The driver may notice just before this check does.
        return NO_ANSWER if isinstance(exc.__cause__, ConnectionTimeout | NoAnswer) else UNAVAILABLE
    except Exception:
        logger.exception("the database could not be checked")
        return CHECK_FAILED


def database_state() -> str:
    """Compare the applied migrations with the code's, through a new connection."""
    connection = connections.create_connection(DEFAULT_DB_ALIAS)
    if connection.vendor == "postgresql":
        options = connection.settings_dict.get("OPTIONS", {})
        connection.settings_dict = {**connection.settings_dict, "OPTIONS": {**options, **POSTGRES_TIMEOUTS}}
    try:
        applied = MigrationRecorder(connection).applied_migrations()
    finally:
        connection.close()
    return OK if _latest_migrations() <= applied.keys() else MIGRATIONS_MISSING


@cache
def _latest_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


_database = Probe(database_state)
