"""A network with a few open ports, as behind a strict firewall.

It is a network namespace of the kernel, so nothing but the ports is reachable by any protocol. Each port leads to a
port on this machine's loopback interface.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from local.paths import ROOT
from local.ports import LOOPBACK

UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--")
# Besides loopback, an interface that leads nowhere: without one, a browser believes it is offline. No IPv6 address,
# because it is added a second later and a browser then aborts what it is loading.
INTERFACES = (
    "link set lo up",
    "link add name out type veth peer name nowhere",
    "link set out addrgenmode none",
    "link set nowhere addrgenmode none",
    "address add 192.0.2.2/24 dev out",
    "link set nowhere up",
    "link set out up",
)


@dataclass(frozen=True)
class OpenPort:
    """A port on the inner loopback interface and the outer port it leads to."""

    kind: Literal["tcp", "udp"]
    inside: int
    outside: int


def is_supported() -> bool:
    """Whether this machine allows creating network namespaces."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return False
    tried = subprocess.run([*UNSHARE, "ip", *INTERFACES[1].split()], capture_output=True, check=False)
    return tried.returncode == 0


@asynccontextmanager
async def network(folder: Path, *ports: OpenPort) -> AsyncIterator[Callable[[str], str]]:
    """Create the network.

    Yield a function that wraps a program in a script in `folder` that runs it inside.
    """
    ours, theirs = socket.socketpair()
    port_names = [f"{port.kind}:{port.inside}" for port in ports]
    command = [*UNSHARE, sys.executable, "-m", "tests.support.restricted_network", str(theirs.fileno()), *port_names]
    keeper = await asyncio.create_subprocess_exec(*command, cwd=ROOT, pass_fds=[theirs.fileno()])
    theirs.close()
    try:
        async with AsyncExitStack() as stack:
            _, fds, _, _ = await asyncio.to_thread(socket.recv_fds, ours, 1, len(ports))
            for port, fd in zip(ports, fds, strict=True):
                opened = _tcp if port.kind == "tcp" else _udp
                await stack.enter_async_context(opened(socket.socket(fileno=fd), port.outside))
            enter = ["nsenter", f"--target={keeper.pid}", "--user", "--net", "--preserve-credentials", "--"]

            def within(program: str) -> str:
                script = folder / f"inside-{Path(program).name}"
                script.write_text(f'#!/bin/sh\nexec {shlex.join([*enter, program])} "$@"\n')
                script.chmod(0o755)
                return str(script)

            yield within
    finally:
        ours.close()  # ends the keeper
        await keeper.wait()


@asynccontextmanager
async def _tcp(listener: socket.socket, port: int) -> AsyncIterator[None]:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, back = await asyncio.open_connection(LOOPBACK, port)
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        writer.close()

    async with await asyncio.start_server(pass_on, sock=listener):
        yield


async def _pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(1 << 16):
            to.write(data)
            await to.drain()
    to.close()


class _Inside(asyncio.DatagramProtocol):
    """Gives each inner sender its own outer port, like a NAT router."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.ways: dict[tuple[str, int], socket.socket] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        if sender not in self.ways:
            way = socket.socket(type=socket.SOCK_DGRAM)
            way.setblocking(False)
            way.connect((LOOPBACK, self.port))
            self.ways[sender] = way
            asyncio.get_running_loop().add_reader(way, self.answer, way, sender)
        with suppress(OSError):
            self.ways[sender].send(data)

    def answer(self, way: socket.socket, to: tuple[str, int]) -> None:
        with suppress(OSError):
            cast(asyncio.DatagramTransport, self.transport).sendto(way.recv(1 << 16), to)

    def close(self) -> None:
        for way in self.ways.values():
            asyncio.get_running_loop().remove_reader(way)
            way.close()


@asynccontextmanager
async def _udp(inside: socket.socket, port: int) -> AsyncIterator[None]:
    transport, passing = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Inside(port), sock=inside)
    try:
        yield
    finally:
        passing.close()
        transport.close()


def _keep(fd: int, port_names: list[str]) -> None:
    """Set up the new network from inside.

    Create interfaces, pass out a socket for each port, and wait for the end.
    """
    for words in INTERFACES:
        subprocess.run(["ip", *words.split()], check=True)
    sockets = []
    for name in port_names:
        kind, port = name.split(":")
        made = socket.socket(type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        made.bind((LOOPBACK, int(port)))
        sockets.append(made)
    with socket.socket(fileno=fd) as outside:
        socket.send_fds(outside, [b"."], [made.fileno() for made in sockets])
        outside.recv(1)


if __name__ == "__main__":
    _keep(int(sys.argv[1]), sys.argv[2:])
