"""This machine's addresses, and the ports on its loopback address."""

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


class PortTaken(Exception):
    """A port that somebody chose by hand cannot be had; the message says which and what to do."""


def own_address() -> str:
    """Return this machine's address in its network; empty where it is in none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing: the system only says from where it would
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:  # as servers do: a connection that lingers does not hold the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that was free a moment ago. Who binds it later must be ready to lose the race."""
    return free_ports(1, kind)[0]


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Return that many different free ports."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket(socket.AF_INET, kind)) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def choose_port(name: str, default: int, environ: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """Return the port for a server and, when it is not the usual one, a line that says so.

    A port set by hand in the variable `name` is meant: if it cannot be had, PortTaken is raised.
    """
    if environ.get(name):
        return _chosen_by_hand(name, environ[name]), ""
    if is_free(default):
        return default, ""
    port = free_port()
    return port, f"Port {default} is taken; using {port}. Set {name} to choose another."


def _chosen_by_hand(name: str, value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise PortTaken(f"{name} is {value!r}, which is not a port. Set it to a number from 1 to 65535, or unset it.")
    if not is_free(int(value)):
        raise PortTaken(
            f"{name} is {value}, but that port cannot be had on {LOOPBACK}: another program uses it. "
            f"Stop that program, or set {name} to another port, or unset it and a free one is chosen."
        )
    return int(value)
