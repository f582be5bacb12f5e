"""A worker replaces connections to Redis that fall silent.

They do so behind a proxy that lost its state.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from heygen_portal.redis import marks
from local import ports
from local.processes import Child
from tests.support import servers
from tests.support.forwarder import Forwarder
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.proof


def test_a_worker_continues_after_its_connections_fell_silent(tmp_path: Path) -> None:
    with servers.portal() as portal:
        portal.worker.stop()
        url = portal.environment["REDIS_URL"]
        client = redis.Redis.from_url(url)
        with closing(Forwarder(urlsplit(url).port or 0)) as forwarder:
            through_it = {**portal.environment, "REDIS_URL": f"redis://{ports.LOOPBACK}:{forwarder.port}/0"}
            worker = Child("worker", servers.all_queues_worker(), tmp_path / "log", env=through_it)
            worker.start()
            try:
                worker.wait_until(lambda: " ready." in worker.output())
                wait_for_a_job(client)
                forwarder.fall_silent()
                wait_for_a_job(client)
            finally:
                worker.stop()


def wait_for_a_job(client: redis.Redis) -> None:
    """Wait until the worker has finished a job that it began from now on."""
    key = f"portal-mark:{marks.of_job('sessions.tasks.enforce_limits')}"
    client.delete(key)
    give_up_at = time.monotonic() + WAIT_TIMEOUT_S
    while not client.exists(key):
        assert time.monotonic() < give_up_at
        time.sleep(0.1)
