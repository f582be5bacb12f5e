"""Caddy with `deploy/Caddyfile`, on its own loopback addresses."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local import caddy
from local.paths import ROOT
from local.ports import LOOPBACK, free_ports
from local.processes import Child, answers_http
from local.servers import ProgramMissing
from tests.support.servers import running

COMMAND = ("run", "--config", str(ROOT / "deploy" / "Caddyfile"), "--adapter", "caddyfile")
A, ANY = 1, 255
NO_SUCH_NAME = 3


class Network:
    """Loopback addresses by the names of services, different in each run."""

    def __init__(self) -> None:
        self._prefix = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self._addresses: dict[str, str] = {}

    def address(self, name: str) -> str:
        return self._addresses.setdefault(name, f"{self._prefix}.{len(self._addresses) + 1}")


@dataclass(frozen=True)
class Proxy:
    portal: str
    """URL of the portal's pages."""
    rooms: str
    """URL of LiveKit's signalling."""
    plain: str
    """URL without TLS."""
    authority: Path
    process: Child = field(repr=False)

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts this proxy only."""
        return ssl.create_default_context(cafile=str(self.authority))


@contextmanager
def proxy(
    folder: Path,
    network: Network,
    web: Sequence[str],
    web_port: int,
    *,
    livekit: str = f"{LOOPBACK}:1",
    media: Path | None = None,
    command: Sequence[str] = (),
    before: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[Proxy]:
    """Run the proxy in front of web processes at the addresses `web`.

    `before` is put before its command.
    """
    program = caddy.program()
    if program is None:
        raise ProgramMissing("Caddy is not on this machine. Run bin/setup --tests.")
    made: Proxy | None = None
    with name_server({"web": web}) as resolver:

        def make() -> tuple[Child, Callable[[], bool]]:
            nonlocal made
            https, http, health = free_ports(3)
            portal, rooms = network.address("portal"), network.address("rooms")
            process = Child(
                "caddy",
                [*before, str(program), *(command or COMMAND)],
                folder / "caddy.log",
                env={
                    "HOME": str(folder),
                    "XDG_DATA_HOME": str(folder / "data"),
                    "XDG_CONFIG_HOME": str(folder / "config"),
                    "PROXY_ADDRESS": f"{portal} {rooms}",
                    "PORTAL_DOMAIN": portal,
                    "LIVEKIT_DOMAIN": rooms,
                    "ACME_EMAIL": "it@example.org",
                    "HTTPS_PORT": str(https),
                    "HTTP_PORT": str(http),
                    "HEALTH_PORT": str(health),
                    "RESOLVER": resolver,
                    "WEB_PORT": str(web_port),
                    "LIVEKIT_UPSTREAM": livekit,
                    "MEDIA_ROOT": str(media or folder),
                    **(env or {}),
                },
                cwd=folder,
            )
            authority = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
            urls = f"https://{portal}:{https}", f"wss://{rooms}:{https}", f"http://{portal}:{http}"
            made = Proxy(*urls, authority, process)
            return (
                process,
                lambda: (
                    answers_http(f"http://{LOOPBACK}:{health}/")
                    and all(_has_certificate(name, https, authority) for name in (portal, rooms))
                ),
            )

        with running(make):
            assert made is not None
            yield made


def _has_certificate(host: str, port: int, authority: Path) -> bool:
    """Whether the proxy has its certificate for a host.

    It makes them after its start.
    """
    if not authority.exists():
        return False
    try:
        tls = ssl.create_default_context(cafile=str(authority))
        with socket.create_connection((host, port), timeout=2) as plain, tls.wrap_socket(plain, server_hostname=host):
            return True
    except OSError:  # an SSLError, too
        return False


@contextmanager
def name_server(addresses: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Answer DNS questions for IPv4 addresses. Yield the server's address.

    A container network has such a server.
    """
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind((LOOPBACK, 0))
        thread = threading.Thread(target=_answer, args=(server, addresses), name="name server")
        thread.start()
        port = server.getsockname()[1]
        try:
            yield f"{LOOPBACK}:{port}"
        finally:
            server.sendto(b"", (LOOPBACK, port))  # ends the thread
            thread.join()


def _answer(server: socket.socket, addresses: Mapping[str, Sequence[str]]) -> None:
    while True:
        question, sender = server.recvfrom(4096)
        if not question:
            return
        name, kind, end = _question(question)
        found = addresses.get(name, ()) if kind in (A, ANY) else ()
        code = 0 if name in addresses else NO_SUCH_NAME
        header = question[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(found), 0, 0)
        records = b"".join(
            struct.pack("!HHHLH", 0xC00C, A, 1, 1, 4) + socket.inet_aton(address)  # for one second
            for address in found
        )
        server.sendto(header + question[12:end] + records, sender)


def _question(message: bytes) -> tuple[str, int, int]:
    """Return the name, the type, and the end of a message's only question."""
    labels, at = [], 12
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode())
        at += 1 + length
    (kind,) = struct.unpack("!H", message[at + 1 : at + 3])
    return ".".join(labels), kind, at + 5
