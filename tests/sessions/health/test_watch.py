"""A web process notices by itself that no worker and no beat run, and mails it."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue

from tests.support import servers
from tests.timeouts import WAIT_TIMEOUT_S

MAKE_OPERATOR = """
from django.contrib.auth.models import Group, User
user = User.objects.create(username="olga", email="olga@example.org", is_staff=True)
user.groups.add(Group.objects.get(name="Operators"))
"""


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


def test_a_web_process_reports_that_neither_workers_nor_beat_run() -> None:
    with mail_server() as (port, messages):
        env = {
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(port),
            "EMAIL_USE_TLS": "0",
            "INCIDENT_MINUTES": "0",
            "HEALTH_START_SECONDS": "-1",
        }
        with servers.redis() as url, servers.web(url, env=env, script=MAKE_OPERATOR):
            received = [messages.get(timeout=WAIT_TIMEOUT_S) for _ in range(3)]
    assert all("To: olga@example.org" in message for message in received)
    for process in ("beat", "limits", "worker"):
        assert sum(f"docker compose restart {process}" in message for message in received) == 1
