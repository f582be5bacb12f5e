"""This machine's address and free ports on its loopback interface."""

import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


class PortTaken(Exception):
    """A port set explicitly is not available.

    The message names it and says what to do.
    """


def own_address() -> str:
    """Return this machine's network address, or an empty string without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing: the system only chooses the source address
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:  # as servers do, so that connections in TIME_WAIT do not block the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that is free now.

    Another program may still take it before it is bound.
    """
    return free_ports(1, kind)[0]


def free_ports(count: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[int]:
    """Return `count` different free ports."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket(socket.AF_INET, kind)) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def choose_port(name: str, default: int, environ: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """Return a server's port, and a note if it is not the default.

    A port set in the variable `name` is never replaced. Raises PortTaken if it is not available.
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
