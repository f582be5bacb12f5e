"""Fixtures for all tests. Real servers start on first use and run until the end."""

from __future__ import annotations

import gc
import logging
import math
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import hypothesis
import pytest
from allauth.account.internal.flows.login import record_authentication
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.db import connection
from django.dispatch import receiver
from django.http import HttpRequest
from django.test import TransactionTestCase, override_settings
from django.utils import translation
from hypothesis import HealthCheck
from pytest_django import DjangoDbBlocker
from xdist.remote import Producer
from xdist.scheduler import Scheduling
from xdist.workermanage import NodeManager

from heygen_portal.branding import current
from heygen_portal.redis import cache
from heygen_portal.runtime import budgets
from local.processes import end_as_on_ctrl_c
from tests.emulator.wire import TLS
from tests.support import daily, migrated, older_portal, scheduling, servers
from tests.timeouts import WAIT_TIMEOUT_S


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--live",
        action="store_true",
        help="Ask the real service too; HEYGEN_API_KEY, LIVEAVATAR_API_KEY have the keys. It costs credits.",
    )


@receiver(user_logged_in)
def _signed_in_just_now(request: HttpRequest, user: AbstractBaseUser, **kwargs: object) -> None:
    """Record a sign-in like allauth's pages do, because `force_login` bypasses them."""
    record_authentication(request, user, method="test")


def pytest_configure() -> None:
    # Before the tests are imported. Hypothesis's limits of time fail on a busy machine.
    hypothesis.settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    hypothesis.settings.load_profile("any speed")
    end_as_on_ctrl_c()  # otherwise a time limit would leave the servers running
    NodeManager.EXIT_TIMEOUT = 60  # seconds, so that workers can stop their servers


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return scheduling.WholeUnits(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    daily.demote(items)  # before `-m` selects
    yield  # pytest-django has moved tests without a database to the end
    items.sort(key=lambda item: scheduling.rank(item.nodeid))


def pytest_collection_finish() -> None:
    # Thousands of collected tests live until the end. Otherwise each full collection of garbage would visit them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # each test makes thousands of short-lived objects


def pytest_unconfigure() -> None:
    # LiveKit's native threads log to streams that pytest has closed. Keep those errors out of its summary.
    logging.raiseExceptions = False


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Let Django use the existing file, which `tests.support.migrated` created."""
    return is_sqlite()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each process its own database file, so that parallel runs do not collide.

    It is also the file of a run in which no test is marked to use a database. For such a run pytest-django sets up
    none, but a fixture may still use it.
    """
    if is_sqlite():
        path = tmp_path_factory.mktemp("database") / "test.sqlite3"
        migrated.copy_to(path)
        database: Any = settings.DATABASES["default"]  # the stubs allow no path
        database["NAME"] = database["TEST"]["NAME"] = path
        # The data is temporary, so it need not reach the disk.
        database["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Restore the initial database after each test that commits.

    Django would flush every table and create permissions, groups and migrated rows again.
    """
    if not is_sqlite():
        yield
        return
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as clean:
        with django_db_blocker.unblock():
            older_portal.sign_head_as_before()
            connection.ensure_connection()
            connection.connection.backup(clean)

        def write_back(test: TransactionTestCase) -> None:
            connection.ensure_connection()
            clean.backup(connection.connection, progress=refuse_to_wait)

        with patch.object(TransactionTestCase, "_fixture_teardown", write_back):
            yield


def refuse_to_wait(status: int, remaining: int, total: int) -> None:
    if status == sqlite3.SQLITE_BUSY:
        raise sqlite3.OperationalError("A transaction of the test goes on after its end.")


def is_sqlite() -> bool:
    return str(settings.DATABASES["default"]["ENGINE"]).endswith("sqlite3")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def redis_for_all(redis_url: str) -> Iterator[None]:
    """Use a real Redis server of this run as broker, channel layer and cache.

    Long timeouts, because the portal falls back when Redis is slow, as it is on a busy machine. Tests of that
    fallback set the timeouts themselves.
    """
    layers = {"default": {**settings.CHANNEL_LAYERS["default"], "CONFIG": {"hosts": [redis_url]}}}
    caches = {"default": {**settings.CACHES["default"], "LOCATION": redis_url}}
    with (
        override_settings(REDIS_URL=redis_url, CHANNEL_LAYERS=layers, CACHES=caches, CELERY_BROKER_URL=redis_url),
        patch.object(budgets, "REDIS_TIMEOUT_S", WAIT_TIMEOUT_S),
        patch.object(cache, "REDIS_TIMEOUT_S", WAIT_TIMEOUT_S),
    ):
        yield


@pytest.fixture(autouse=True)
def full_budgets(redis_for_all: None) -> None:
    """Reset all budgets, because users of different tests have the same IDs."""
    budgets.clear_all()


@pytest.fixture(autouse=True)
def brand_of_a_new_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know the brand that the database of a test begins with, so that no page needs a query for it.

    A test that changes it calls `current.forget`.
    """
    monkeypatch.setattr(current, "_brand", current.Brand())
    monkeypatch.setattr(current, "_read_again_at", math.inf)


@pytest.fixture(autouse=True)
def default_language() -> None:
    """Activate the default language.

    A request leaves its language active in the thread.
    """
    translation.activate(settings.LANGUAGE_CODE)


@pytest.fixture(scope="session", autouse=True)
def plain_names() -> Iterator[None]:
    """Use static file names without hashes, which only collected files have."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(STORAGES={**settings.STORAGES, "staticfiles": plain}):
        yield


@pytest.fixture(scope="session", autouse=True)
def static_files_on_request() -> Iterator[None]:
    """Find static files on request.

    Otherwise each test client would scan all of them first.
    """
    with override_settings(WHITENOISE_AUTOREFRESH=True):
        yield


@pytest.fixture(scope="session", autouse=True)
def fast_password_hashing() -> Iterator[None]:
    """Use a fast password hasher: the real one takes a third of a second."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def media_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Store media files in a temporary folder, which the first file creates."""
    folder = tmp_path_factory.getbasetemp() / "media"
    with override_settings(MEDIA_ROOT=folder):
        yield folder


@pytest.fixture(autouse=True)
def no_media(media_folder: Path) -> Iterator[None]:
    """Delete the media files that a test leaves."""
    yield
    if media_folder.exists():
        shutil.rmtree(media_folder)


@pytest.fixture(scope="session")
def livekit() -> Iterator[servers.LiveKit]:
    with servers.livekit() as livekit:
        yield livekit


@pytest.fixture(scope="session")
def emulator(livekit: servers.LiveKit) -> Iterator[servers.Emulator]:
    """Yield an emulator with media and its control API."""
    with servers.emulator(livekit, args=["--control"]) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def quiet_emulator() -> Iterator[servers.Emulator]:
    """Yield an emulator without media, with its control API."""
    with servers.emulator(media=False, args=["--control"]) as emulator:
        yield emulator


@pytest.fixture
def fresh_emulator(quiet_emulator: servers.Emulator) -> servers.Emulator:
    """Return the emulator without media, reset."""
    httpx.post(f"{quiet_emulator.url}/_emulator/reset", json={}, trust_env=False, verify=TLS).raise_for_status()
    return quiet_emulator


@pytest.fixture(scope="session")
def postgres_url(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Yield a PostgreSQL server with the portal's tables."""
    from tests.support import on_postgres  # imports models, which need Django to be set up

    with django_db_blocker.unblock(), on_postgres.server() as url:
        yield url


@pytest.fixture
def postgres(postgres_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Run the test on PostgreSQL with empty tables."""
    from tests.support import on_postgres

    with django_db_blocker.unblock(), on_postgres.as_default(postgres_url):
        yield
    with django_db_blocker.unblock():
        on_postgres.flush(postgres_url)
