"""Which servers to start, on which ports, with which environment."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local import keys, ports, servers
from local.paths import ROOT


class ConfigurationError(Exception):
    """The environment is contradictory or incomplete. The message says what to do."""


def environment() -> dict[str, str]:
    """Return the environment merged with `.env`. Runs in the virtual environment."""
    from dotenv import dotenv_values  # a third-party package: everything else here works without any

    written = {name: value for name, value in dotenv_values(ROOT / ".env").items() if value is not None}
    return {**written, **os.environ}


@dataclass
class Plan:
    """Servers to start and their environment.

    Servers that the environment names are not started.
    """

    var: Path
    env: dict[str, str]
    names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def need(self, name: str, variable: str, usual: int) -> int:
        """Add a server: choose its port and set it in the environment."""
        port, note = ports.choose_port(variable, usual, self.env)
        self.env[variable] = str(port)
        self.names.append(name)
        if note:
            self.notes.append(f"{name}: {note}")
        return port

    def secret(self, name: str) -> None:
        """Pass a generated secret by its file, unless the environment has one."""
        if not self.env.get(name) and not self.env.get(f"{name}_FILE"):
            path = self.var / "keys" / name.lower()
            keys.stored_secret(path)
            self.env[f"{name}_FILE"] = str(path)

    def address(self, variable: str, *, scheme: str = "http", path: str = "") -> str:
        return f"{scheme}://{ports.LOOPBACK}:{self.env[variable]}{path}"


def portal(var: Path, environ: Mapping[str, str]) -> Plan:
    """Plan the whole portal. Raises ConfigurationError and PortTaken."""
    plan = Plan(var, {**environ, "VAR_DIR": str(var)})
    plan.secret("DJANGO_SECRET_KEY")
    plan.secret("FIELD_ENCRYPTION_KEY")
    if not plan.env.get("REDIS_URL"):
        plan.need("redis", "REDIS_PORT", 8379)
        plan.env["REDIS_URL"] = plan.address("REDIS_PORT", scheme="redis", path="/0")
    with_livekit(plan)
    if not plan.env.get("EMULATOR_URL"):
        plan.need("emulator", "EMULATOR_PORT", 8010)
        plan.secret("EMULATOR_API_KEY")
        plan.env["EMULATOR_URL"] = plan.address("EMULATOR_PORT")
    web_port = plan.need("web", "PORT", 8000)
    plan.env.setdefault("PORTAL_URL", plan.address("PORT"))
    if "livekit" in plan.names:
        _configure_livekit(plan, web_port)  # again, because its webhook needs the web port
    plan.names += ["limits", "worker", "beat", "monitor"]
    return plan


def with_livekit(plan: Plan) -> None:
    """Add a LiveKit server, unless the environment names one."""
    if plan.env.get("LIVEKIT_URL"):
        names = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
        missing = [name for name in names if not plan.env.get(name) and not plan.env.get(f"{name}_FILE")]
        if missing:
            raise ConfigurationError(
                f"LIVEKIT_URL names a server, but {' and '.join(missing)} is not set: set it, or unset both."
            )
        return
    plan.need("livekit", "LIVEKIT_PORT", 7880)
    _configure_livekit(plan)


def _configure_livekit(plan: Plan, web_port: int | None = None) -> None:
    own, config = keys.livekit_keys(plan.var / "keys"), plan.var / "livekit.json"
    udp_port, turn_port = ports.free_ports(2, socket.SOCK_DGRAM)
    servers.write_livekit_config(
        config,
        int(plan.env["LIVEKIT_PORT"]),
        udp_port,
        own,
        own_address=ports.own_address(),  # Firefox uses no loopback candidates
        log_level="warn",
        web_port=web_port,
        turn_port=turn_port,
    )
    plan.env |= {
        "LIVEKIT_CONFIG_FILE": str(config),
        "LIVEKIT_URL": plan.address("LIVEKIT_PORT", scheme="ws"),
        "LIVEKIT_API_KEY": own.key,
        "LIVEKIT_API_SECRET": own.secret,
    }
