"""What every test may ask for: real servers, started when first asked for and kept for the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.db.backends.sqlite3.operations import DatabaseOperations
from django.test import override_settings
from django.utils import translation
from xdist.workermanage import NodeManager

from heygen_portal import audit, guards
from local.processes import end_as_on_ctrl_c
from tests import servers


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--live",
        action="store_true",
        help="Ask the real service too; HEYGEN_API_KEY, LIVEAVATAR_API_KEY have the keys. It costs credits.",
    )


def pytest_configure() -> None:
    end_as_on_ctrl_c()  # a time limit would leave the servers running
    NodeManager.EXIT_TIMEOUT = 60  # seconds: a worker that is killed earlier would, too


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each process whole files; what plays on the room's stage comes first, as it takes longest, on two stages."""
    on_stage = {item for item in items if "stage" in getattr(item, "fixturenames", ())}
    for item in items:
        name = item.nodeid.partition("::")[0]
        stage = "stage of the room" if name.endswith("test_room.py") else "stage of the rest"
        item.add_marker(pytest.mark.xdist_group(stage if item in on_stage else name))
    items.sort(key=lambda item: item not in on_stage)


def pytest_unconfigure() -> None:
    # LiveKit's native threads log until the very end, into what pytest has closed: its summary is to be the last word.
    logging.raiseExceptions = False


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each run a database file of its own, so that two runs in one checkout do not meet."""
    database = settings.DATABASES["default"]
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["TEST"]["NAME"] = tmp_path_factory.mktemp("database") / "test.sqlite3"


@pytest.fixture(scope="session", autouse=True)
def history_that_tests_may_empty() -> Iterator[None]:
    """Between two tests Django deletes all rows, also those that the database lets nobody delete.

    The list of the audit begins anew with its head, as a migration left it.
    """
    flush = DatabaseOperations.execute_sql_flush

    def flush_all(operations: DatabaseOperations, sql_list: Any) -> None:
        if "avatar_sessions_sessionevent" not in operations.connection.introspection.table_names():
            flush(operations, sql_list)
            return
        with guards.lifted(operations.connection):
            flush(operations, sql_list)
            audit.head()

    with patch.object(DatabaseOperations, "execute_sql_flush", flush_all):
        yield


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def redis_for_all(redis_url: str) -> Iterator[None]:
    """Let broker, channel layer and cache of the run be a real Redis server of its own."""
    layers = {"default": {**settings.CHANNEL_LAYERS["default"], "CONFIG": {"hosts": [redis_url]}}}
    caches = {"default": {**settings.CACHES["default"], "LOCATION": redis_url}}
    with override_settings(REDIS_URL=redis_url, CHANNEL_LAYERS=layers, CACHES=caches, CELERY_BROKER_URL=redis_url):
        yield


@pytest.fixture(autouse=True)
def the_portals_own_language() -> None:
    """Forget the language of whoever asked last: a request leaves its own behind in this thread."""
    translation.activate(settings.LANGUAGE_CODE)


@pytest.fixture(scope="session", autouse=True)
def plain_names() -> Iterator[None]:
    """Name static files as they are called in the checkout: their hashes belong to what set-up has gathered."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(STORAGES={**settings.STORAGES, "staticfiles": plain}):
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Spare each test the third of a second that a stored password takes on purpose."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(autouse=True)
def media_below(tmp_path: Path) -> Iterator[None]:
    """Let uploaded and fetched pictures go where the test's other files go."""
    with override_settings(MEDIA_ROOT=tmp_path / "media"):
        yield


@pytest.fixture(scope="session")
def livekit() -> Iterator[servers.LiveKit]:
    with servers.livekit() as livekit:
        yield livekit


@pytest.fixture(scope="session")
def emulator(livekit: servers.LiveKit) -> Iterator[servers.Emulator]:
    """Give an emulator with avatars that can be seen and heard, open to control."""
    with servers.emulator(livekit, args=["--control"]) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def quiet_emulator() -> Iterator[servers.Emulator]:
    """Give an emulator whose rooms nobody enters: the wire is all there is."""
    with servers.emulator(media=False, args=["--control"]) as emulator:
        yield emulator
