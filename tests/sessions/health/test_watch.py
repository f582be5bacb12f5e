"""A web process notices by itself that no worker and no beat run. It mails that, and enforces limits meanwhile."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue

import pytest

from tests.support import servers
from tests.timeouts import WAIT_TIMEOUT_S

MAKE_OPERATOR = """
from django.contrib.auth.models import Group, User
user = User.objects.create(username="olga", email="olga@example.org", is_staff=True)
user.groups.add(Group.objects.get(name="Operators"))
"""
MAKE_OVERDUE_SESSION = """
from datetime import timedelta
from django.utils import timezone
from tests.support.factories import StreamingSessionFactory
long_ago = timezone.now() - timedelta(minutes=10)
StreamingSessionFactory.create(status="requested", created_at=long_ago, deadline_at=long_ago)
"""
READ_STATUS = "from sessions.models import StreamingSession; print(StreamingSession.objects.get().status)"


@contextmanager
def mail_server() -> Iterator[tuple[int, Queue[str]]]:
    """Accept mail. Yield the port and the messages."""
    messages: Queue[str] = Queue()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            while line := self.rfile.readline():
                if line.upper().startswith(b"DATA"):
                    self.wfile.write(b"354 go on\r\n")
                    lines = iter(self.rfile.readline, b".\r\n")
                    messages.put(b"".join(lines).decode())
                self.wfile.write(b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], messages
        finally:
            server.shutdown()


@pytest.mark.proof
def test_a_web_process_reports_that_neither_workers_nor_beat_run_and_enforces_limits() -> None:
    with mail_server() as (port, messages):
        env = {
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(port),
            "EMAIL_USE_TLS": "0",
            "INCIDENT_MINUTES": "0",
            "HEALTH_START_SECONDS": "-1",
            "HEALTH_OVERDUE_SECONDS": "86400",
        }
        script = MAKE_OPERATOR + MAKE_OVERDUE_SESSION
        with servers.redis() as url, servers.web(url, env=env, script=script) as web:
            received = [messages.get(timeout=WAIT_TIMEOUT_S) for _ in range(3)]
            give_up_at = time.monotonic() + WAIT_TIMEOUT_S
            while web.console.run("shell", "-v0", "-c", READ_STATUS).strip() == "requested":
                assert time.monotonic() < give_up_at
    assert all("To: olga@example.org" in message for message in received)
    for process in ("beat", "limits", "worker"):
        assert sum(f"docker compose restart {process}" in message for message in received) == 1
