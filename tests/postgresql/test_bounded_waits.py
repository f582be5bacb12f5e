"""A PostgreSQL that accepts connections and does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from pytest_django import DjangoDbBlocker

from heygen_portal.postgresql import base
from tests.support import on_postgres, servers
from tests.support.forwarder import Forwarder


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with servers.postgres() as url:
        yield url


@pytest.fixture
def forwarder(url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[Forwarder]:
    """Yield the network between `connection` and the server. Waits are limited to a moment."""
    address = urlsplit(url)
    with closing(Forwarder(address.port or 0)) as forwarder:
        through_it = f"postgres://portal@127.0.0.1:{forwarder.port}/postgres?connect_timeout=2"
        with django_db_blocker.unblock(), on_postgres.as_default(through_it):
            base.limit_waits(1)
            yield forwarder
            base.limit_waits(None)
            base._waits.refused_until = 0


def ask() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        [answer] = cursor.fetchone()
        return int(answer)


def test_a_statement_without_an_answer_raises(forwarder: Forwarder) -> None:
    assert ask() == 1
    forwarder.fall_silent()
    with pytest.raises(OperationalError, match="did not answer within 1 s"):
        ask()


def test_others_are_refused_at_once_and_served_when_the_server_is_back(
    forwarder: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "REFUSED_AFTER_TIMEOUT_S", 3600)
    assert ask() == 1
    forwarder.fall_silent(also_new=True)
    with pytest.raises(OperationalError):
        ask()
    connection.close()
    for _ in range(20):  # each would wait for a second, or for two to connect
        with pytest.raises(OperationalError, match="just now"):
            ask()
    forwarder.recover()
    base._waits.refused_until = 0
    assert ask() == 1


def test_a_server_that_accepts_no_more_connections_is_noticed(forwarder: Forwarder) -> None:
    forwarder.fall_silent(also_new=True)
    with pytest.raises(OperationalError):
        ask()
    with pytest.raises(OperationalError, match="just now"):
        ask()


def test_jobs_and_commands_wait_as_long_as_their_statements_take(forwarder: Forwarder) -> None:
    base.limit_waits(None)
    assert ask() == 1
    assert not isinstance(connection.connection, base.BoundedConnection)


def test_a_frozen_process_loses_the_locks_of_its_transaction(
    url: str, django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "FORGOTTEN_TRANSACTION_S", 0.2)
    with django_db_blocker.unblock(), on_postgres.as_default(url), psycopg.connect(url) as other:
        other.execute("CREATE TABLE held (id int)")
        other.commit()
        transaction.set_autocommit(False)
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE held")
        other.execute("SET lock_timeout = '20s'")
        other.execute("LOCK TABLE held")  # waits until the first is ended, and fails otherwise
        with pytest.raises(DatabaseError, match="idle-in-transaction"):
            ask()
        connection.close()
        assert ask() == 1
