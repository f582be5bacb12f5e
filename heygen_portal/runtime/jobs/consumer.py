"""A worker that finds the broker soon after an outage."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer


class SteadyConsumer(Consumer):
    """Asks for the broker every two seconds. Celery's own consumer waits longer each time, up to half a minute."""

    def ensure_connected(self, conn: Any) -> Any:
        conn.ensure_connection = partial(conn.ensure_connection, interval_step=0)
        return super().ensure_connected(conn)
