"""Readiness of a web process, while its services answer and while they do not."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from django.db import connections
from django.db.utils import OperationalError
from django.test import override_settings
from psycopg.errors import ConnectionTimeout
from pytest_django import DjangoDbBlocker

from heygen_portal.health import readiness
from heygen_portal.health.probe import Probe
from tests.support import servers
from tests.support.servers import Web
from tests.timeouts import WAIT_TIMEOUT_S

MAKE_OLD_CHECK = """
from datetime import UTC, datetime
from sessions.models import HistoryCheck

HistoryCheck.objects.create(started_at=datetime(2020, 1, 1, tzinfo=UTC), ended_at=datetime(2020, 1, 1, tzinfo=UTC))
"""


@pytest.fixture(autouse=True)
def no_earlier_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget a thread that still waits for the database of another test."""
    monkeypatch.setattr(readiness, "_database", Probe(readiness.database_state))


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


def get(web: Web, path: str) -> tuple[int, Any]:
    answer = httpx.get(f"{web.url}{path}", trust_env=False, timeout=WAIT_TIMEOUT_S)
    return answer.status_code, answer.json()


def test_a_process_reports_that_it_lives_and_which_service_is_missing(web: Web) -> None:
    assert get(web, "/health") == (200, {"status": "ok"})
    assert get(web, "/health/live") == (200, {"status": "ok"})
    assert get(web, "/health/ready") == (200, {"database": "ok", "redis": "ok"})
    with closing(sqlite3.connect(web.folder / "db.sqlite3")) as database:
        with database:
            database.execute("UPDATE django_migrations SET app = 'x-' || app")
        try:
            assert get(web, "/health/ready") == (503, {"database": "migrations missing", "redis": "ok"})
        finally:
            with database:
                database.execute("UPDATE django_migrations SET app = substr(app, 3)")


@pytest.mark.proof
def test_services_that_accept_and_do_not_answer_are_named(silent_port: int) -> None:
    env = {"DATABASE_URL": f"postgres://portal@127.0.0.1:{silent_port}/portal"}
    with servers.web(f"redis://127.0.0.1:{silent_port}/0", env=env) as web:
        for _ in range(2):  # the second while the first still waits for the database, or after
            assert get(web, "/health/ready") == (503, {"database": "no answer", "redis": "no answer"})
        assert get(web, "/health/live") == (200, {"status": "ok"})


def refuse_after_waiting() -> str:
    try:
        raise ConnectionTimeout
    except ConnectionTimeout as exc:
        raise OperationalError from exc


async def test_a_driver_that_waited_in_vain_counts_as_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_database", Probe(refuse_after_waiting))
    assert (await readiness.check())["database"] == "no answer"


async def test_a_check_without_an_answer_ends_at_its_timeout(
    silent_port: int, monkeypatch: pytest.MonkeyPatch, django_db_blocker: DjangoDbBlocker
) -> None:
    monkeypatch.setattr(readiness, "CHECK_TIMEOUT_S", 0.2)
    silent_database = {
        **connections.settings["default"],
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "portal",
        "HOST": "127.0.0.1",
        "PORT": str(silent_port),
        "OPTIONS": {},
    }
    monkeypatch.setitem(connections.settings, "default", silent_database)
    with django_db_blocker.unblock(), override_settings(REDIS_URL=f"redis://127.0.0.1:{silent_port}/0"):
        assert await readiness.check() == {"database": "no answer", "redis": "no answer"}


async def test_an_error_of_a_check_is_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings, "default", {"ENGINE": "no.such.engine"})
    with override_settings(REDIS_URL="no-such-scheme://127.0.0.1"):
        assert await readiness.check() == {"database": "check failed", "redis": "check failed"}
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        assert await readiness._check_redis() == "unavailable"


def test_the_state_of_the_work_is_for_this_machine_only(web: Web) -> None:
    web.console.run("shell", "-v0", "-c", MAKE_OLD_CHECK)
    status, report = get(web, "/health/work")
    assert (status, report["status"]) == (503, "failing")
    assert report["checks"]["integrity_check"]["problem"].startswith("The record was not verified")
    in_time = {"state": "ok", "age_seconds": 0.0, "limit_seconds": 30.0, "problem": ""}
    assert report["checks"]["deadlines"] == in_time
    forwarded = httpx.get(f"{web.url}/health/work", headers={"X-Forwarded-For": "127.0.0.1"}, trust_env=False)
    assert (forwarded.status_code, forwarded.json()) == (403, {"status": "forbidden"})
