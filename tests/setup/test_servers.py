"""Servers listen on loopback only."""

from __future__ import annotations

import re
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from local import ports
from tests.support import servers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def addresses_of(pid: int, *protocols: str) -> set[str]:
    """Return the addresses on which a process listens.

    TCP and UDP by default, in hexadecimal as in /proc.
    """
    inodes = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if match := re.fullmatch(r"socket:\[(\d+)\]", str(file.readlink())):
                inodes.add(match[1])
    found = set()
    for table in (f"{protocol}{version}" for protocol in protocols or ("tcp", "udp") for version in ("", "6")):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, remote, inode = (row.split()[column] for column in (1, 2, 9))
            if inode in inodes and remote.endswith(":0000"):
                found.add(local.partition(":")[0])
    return found


LOOPBACK = {"0100007F"}  # 127.0.0.1


@pytest.mark.media
def test_livekit_and_the_emulator_listen_on_loopback_only(livekit: servers.LiveKit) -> None:
    assert addresses_of(livekit.process.pid) == LOOPBACK
    # One without sessions: an avatar in a room has WebRTC's own sockets, one on each interface.
    with servers.emulator(livekit) as emulator:
        assert addresses_of(emulator.process.pid) == LOOPBACK


@pytest.mark.proof
def test_only_livekits_media_listens_on_the_network_address() -> None:
    """Complaint 23: Firefox needs it."""
    own_address = ports.own_address()
    if not own_address:
        pytest.skip("this machine is in no network")
    with servers.livekit(own_address=own_address) as livekit:
        assert addresses_of(livekit.process.pid, "tcp") == LOOPBACK
        own = socket.inet_aton(own_address)[::-1].hex().upper()
        assert addresses_of(livekit.process.pid, "udp") == LOOPBACK | {own}


@pytest.mark.proof
def test_the_portal_listens_on_loopback_only_and_restarts_after_a_kill() -> None:
    with servers.portal() as portal:
        assert addresses_of(portal.web.pid) == LOOPBACK
        portal.web.kill()
        assert not portal.is_healthy()
        portal.web.start()
        portal.web.wait_until(portal.is_healthy)
