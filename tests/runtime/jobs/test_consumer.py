"""A worker whose broker is away."""

from __future__ import annotations

from unittest.mock import create_autospec

from kombu import Connection

from heygen_portal.celery import app
from heygen_portal.runtime.jobs.consumer import SteadyConsumer


def test_a_worker_asks_for_its_broker_every_two_seconds_without_end() -> None:
    assert app.conf.worker_consumer == f"{SteadyConsumer.__module__}:{SteadyConsumer.__name__}"
    consumer, connection = SteadyConsumer.__new__(SteadyConsumer), create_autospec(Connection, instance=True)
    consumer.app, consumer.first_connection_attempt = app, True
    ensure = connection.ensure_connection
    consumer.ensure_connected(connection)
    assert ensure.call_args.kwargs["interval_step"] == 0  # added to Celery's first pause of two seconds
    assert ensure.call_args.args[1] is None
