"""Hand-written HTTP on raw sockets, as attackers send it."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.servers import Web
from tests.timeouts import WAIT_TIMEOUT_S


def connected(web: Web, *, receive_buffer: int = 0, source: str = "127.0.0.1") -> socket.socket:
    """Connect to a web process from an address of this machine."""
    connection = socket.socket()
    connection.settimeout(WAIT_TIMEOUT_S)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", web.port))
    return connection


def exchange(web: Web, *parts: bytes) -> str:
    """Send parts while the server accepts them. Return its answer until it closes."""
    with connected(web) as connection:
        with suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        return answer(connection)


def answer(connection: socket.socket) -> str:
    received = bytearray()
    with suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return received.decode("utf-8", "replace")


def head(method: str, path: str, headers: Iterable[str]) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", "Accept-Language: en", "Connection: close", *headers)
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


@contextmanager
def little_memory(web: Web, *, most_mb: float = 10) -> Iterator[None]:
    """Fail if the web process uses much more memory after the block than before."""
    before = memory_mb(web.process.pid)
    yield
    growth_mb = memory_mb(web.process.pid) - before
    assert growth_mb < most_mb, f"{growth_mb} MB more"


def memory_mb(process_id: int) -> float:
    """Return a process's resident memory in MB."""
    [line] = [line for line in Path(f"/proc/{process_id}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024
