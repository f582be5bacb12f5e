"""The services of compose.yaml as processes of an ordinary user.

Each has its own loopback address.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from local import postgres as postgres_programs
from local.paths import ROOT
from local.ports import LOOPBACK, free_port
from local.processes import Child, answers_http
from local.servers import livekit_server, redis_server
from tests.deploy import image
from tests.deploy.containerfile import CONTAINERFILE
from tests.support import compose, servers
from tests.support.proxy import Network, Proxy, proxy

VALKEY_PORT, LIVEKIT_PORT, EMULATOR_PORT, WEB_PORT = 6379, 7880, 8010, 8000
VOLUMES = ("/data", "/anchors", "/backups/data", "/backups/keys", "/restore")
START_TIMEOUT_S = 120.0
COMMAND_TIMEOUT_S = 300.0


@dataclass
class Stack:
    folder: Path
    network: Network
    database_url: str = field(repr=False)
    as_user: list[str]
    """Prefix of a command that an ordinary user runs, without any capability."""
    proxy: Proxy | None = None
    files: dict[str, compose.Document] = field(default_factory=dict)

    def service(self, name: str, file: str = "compose.yaml") -> compose.Document:
        found: compose.Document = self.files[file]["services"][name]
        return found

    def mount(self, path: str, process: str = "") -> Path:
        """Return the folder for a path of the containers.

        Each process has its own for a tmpfs.
        """
        made = self.folder / "mounts" / process / path.strip("/")
        if not made.exists():
            made.mkdir(parents=True)
            self.give(made)
        return made

    def begin_anew(self) -> Path:
        """Take an empty database, empty volumes and, from now on, no keys.

        Return the folder with the former volumes.
        """
        with psycopg.connect(self.database_url, autocommit=True) as server:
            server.execute("CREATE DATABASE restored")
        url, self.database_url = self.database_url, self.database_url.rpartition("/")[0] + "/restored"
        secret = self.folder / "secrets" / "database_url"
        secret.write_text(secret.read_text().replace(url.partition("@")[2], self.database_url.partition("@")[2]))
        for name in ("django_secret_key", "field_encryption_key"):
            key = self.folder / "secrets" / name
            key.chmod(0o644)
            key.write_text("")
        return (self.folder / "mounts").rename(self.folder / "former-mounts")

    def give(self, path: Path) -> None:
        """Make the ordinary user the owner."""
        if self.as_user:
            subprocess.run(["chown", "-R", "nobody:nogroup", path], check=True)

    def translate(self, text: str, process: str, address: str) -> str:
        """Replace the paths and addresses of the containers by those of this machine."""
        shared = {path: str(self.mount(path)) for path in VOLUMES}
        places = {
            "/run/secrets": str(self.folder / "secrets"),
            "/etc/caddy/Caddyfile": str(ROOT / "deploy" / "Caddyfile"),
            "/app": str(self.folder / "image" / "app"),
            # The addresses of a network of its own become one address of this machine.
            "0.0.0.0": address,  # noqa: S104
            LOOPBACK: address,
            "postgres:5432/portal": self.database_url.partition("@")[2],
            "valkey:6379": f"{self.network.address('valkey')}:{VALKEY_PORT}",
            "livekit:7880": f"{self.network.address('livekit')}:{LIVEKIT_PORT}",
            "emulator:8010": f"{self.network.address('emulator')}:{EMULATOR_PORT}",
            "/run/portal": str(self.mount("/run/portal", process)),
            **shared,
        }
        # A path begins a word; an address may follow a URL's slashes.
        before = {name: r"(?<![\w./])" if name.startswith("/") else r"(?<![\w.])" for name in places}
        pattern = "|".join(rf"{before[each]}{re.escape(each)}(?![\w.])" for each in sorted(places, reverse=True))
        return re.sub(pattern, lambda found: places[found[0]], text)

    def command(
        self, service: compose.Document, process: str, address: str, *more: str, program: Path | None = None
    ) -> list[str]:
        """Return a service's command with its environment, and nothing of the tests' own.

        `program` stands for its first word, and `more` is appended.
        """
        environment = {
            **CONTAINERFILE.env,
            **{name: str(value) for name, value in service.get("environment", {}).items()},
        }
        environment = {name: self.translate(value, process, address) for name, value in environment.items()}
        environment["TMPDIR"] = environment["HOME"] = str(self.mount("tmp", process))
        programs = postgres_programs.folder()
        environment["PATH"] = f"{self.folder / 'image' / 'venv' / 'bin'}:{programs}:/usr/bin:/bin"
        if self.proxy:
            environment["SSL_CERT_FILE"] = str(self.proxy.authority)
        words = [self.translate(word, process, address) for word in service["command"]]
        if program:
            words[:1] = [str(self.program(program))]
        return [*self.as_user, "env", "-i", *(f"{name}={value}" for name, value in environment.items()), *words, *more]

    def program(self, path: Path) -> Path:
        """Copy a program to where the ordinary user finds it."""
        copy = self.folder / "programs" / path.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
        return copy

    def child(self, process: str, command: Sequence[str], cwd: Path | None = None) -> Child:
        return Child(process, command, self.folder / f"{process}.log", cwd=cwd or self.folder / "image" / "app")

    def portal_service(self, name: str, number: int = 1, file: str = "compose.yaml") -> tuple[Child, list[str]]:
        """Return a process of the portal and its health check."""
        process, service = f"{name}-{number}", self.portal(name, file)
        address = self.network.address(process)
        check = CONTAINERFILE.stages["portal"].values("HEALTHCHECK")[0].partition("CMD ")[2]
        checked = {**service, "command": yaml.safe_load(check)}
        return self.child(process, self.command(service, process, address)), self.command(checked, process, address)

    def portal(self, name: str, file: str = "compose.yaml") -> compose.Document:
        """Return a service of the portal that uses the emulator."""
        demo = self.service("web", "compose.demo.yaml")["environment"]
        own = self.service("migrate" if file != "compose.yaml" else name)["environment"]
        hosts = f"{self.network.address('portal')},portal.example.org"  # not only loopback: as in production
        service = self.service(name, file)
        return {**service, "environment": {**own, **demo, "ALLOWED_HOSTS": hosts}}

    def run(self, name: str, file: str = "compose.yaml", command: Sequence[str] = ()) -> str:
        """Run a service that ends by itself, or another command in it, and return its output."""
        service = self.portal(name, file)
        command = self.command({**service, "command": command or service["command"]}, name, LOOPBACK)
        ran = subprocess.run(
            command,
            cwd=self.folder / "image" / "app",
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
        return ran.stdout


def ordinary_user() -> list[str]:
    """Return a command prefix that drops all privileges."""
    if os.geteuid():
        return []
    dropped = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    return ["setpriv", *dropped, "--inh-caps=-all", "--"]


def _interpreter(as_user: Sequence[str]) -> Path:
    """Return a Python that the ordinary user may execute.

    One in root's home is not.
    """
    own = getattr(sys, "_base_executable", sys.executable)
    for candidate in (own, "/usr/local/bin/python3", "/usr/bin/python3"):
        check = [*as_user, "env", candidate, "-c", "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"]
        if Path(candidate).exists() and _succeeds(check):
            return Path(candidate)
    pytest.skip("no Python 3.11 with ensurepip that an ordinary user may execute")


@contextmanager
def running() -> Iterator[tuple[Stack, dict[str, Child]]]:
    """Build the image and start every service. Yield them with the processes by name."""
    with servers.folder() as folder, servers.postgres(*_database_settings()) as database_url, ExitStack() as stack:
        folder.chmod(0o755)
        made = Stack(folder, Network(), database_url, ordinary_user())
        image.build(folder / "image", _interpreter(made.as_user))
        _make_secrets(made)
        web = [made.network.address(f"web-{number}") for number in (1, 2)]
        (folder / "proxy").mkdir()
        made.give(folder / "proxy")
        variables = {"PORTAL_DOMAIN": made.network.address("portal"), "ACME_EMAIL": "it@example.org"}
        _load(made, {**variables, "LIVEKIT_DOMAIN": "rooms.example.org"})
        command = [made.translate(word, "proxy", LOOPBACK) for word in made.service("proxy")["command"][1:]]
        running_proxy = stack.enter_context(
            proxy(
                folder / "proxy",
                made.network,
                web,
                WEB_PORT,
                livekit=f"{made.network.address('livekit')}:{LIVEKIT_PORT}",
                media=made.mount("/data/media"),
                command=command,
                before=made.as_user,
            )
        )
        made.proxy = running_proxy
        _load(made, {**variables, "LIVEKIT_DOMAIN": running_proxy.rooms.removeprefix("wss://")})
        children = {"proxy": running_proxy.process}

        def start(child: Child, is_ready: Callable[[], bool]) -> None:
            child.start()
            stack.callback(child.stop)
            children[child.name] = child
            child.wait_until(is_ready, seconds=START_TIMEOUT_S)

        start(*_valkey(made))
        start(*_livekit(made))
        start(*_emulator(made))
        made.run("migrate")
        (folder / "first-run").write_text(made.run("first-run", "compose.demo.yaml"))
        started = []
        for name in ("web", "limits", "worker", "beat", "monitor"):
            for number in range(1, made.service(name)["deploy"].get("replicas", 1) + 1):
                child, check = made.portal_service(name, number)
                child.start()
                stack.callback(child.stop)
                children[child.name] = child
                started.append((child, check))
        backup, _ = made.portal_service("backup")
        backup.start()
        stack.callback(backup.stop)
        children["backup"] = backup
        for child, check in started:
            child.wait_until(partial(_succeeds, check), seconds=START_TIMEOUT_S)
        yield made, children
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(Child.stop, children.values()))


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _load(stack: Stack, variables: Mapping[str, str]) -> None:
    stack.files = {name: compose.load(name, variables) for name in ("compose.yaml", "compose.demo.yaml")}


def _database_settings() -> list[str]:
    """Return the settings of compose's PostgreSQL, as NAME=VALUE."""
    words = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["postgres"]["command"]
    return [after for word, after in pairwise(words) if word == "-c"]


def _make_secrets(stack: Stack) -> None:
    (stack.folder / "deploy").mkdir()
    script = stack.folder / "deploy" / "make-secrets"
    script.write_text((ROOT / "deploy" / "make-secrets").read_text().replace("chown 10001:10001", "true"))
    subprocess.run(["sh", script], check=True)
    for name in ("database_url", "redis_url"):
        path = stack.folder / "secrets" / name
        path.chmod(0o644)
        path.write_text(stack.translate(path.read_text(), "secrets", LOOPBACK))
    (stack.folder / "secrets").chmod(0o755)  # a container is given the files without their folder
    stack.give(stack.folder / "secrets" / "livekit_keys")


def _valkey(stack: Stack) -> tuple[Child, Callable[[], bool]]:
    address = stack.network.address("valkey")
    service = stack.service("valkey")
    where = ("--bind", address, "--port", str(VALKEY_PORT))
    command = stack.command(service, "valkey", address, *where, program=redis_server())
    child = stack.child("valkey", command, stack.mount("/data", "valkey"))

    def asks_for_a_password() -> bool:
        try:
            with socket.create_connection((address, VALKEY_PORT), timeout=2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"-NOAUTH")
        except OSError:
            return False

    return child, asks_for_a_password


def _livekit(stack: Stack) -> tuple[Child, Callable[[], bool]]:
    address = stack.network.address("livekit")
    assert stack.proxy
    config: dict[str, Any] = yaml.safe_load(stack.files["compose.yaml"]["configs"]["livekit"]["content"])
    # This machine has one address, and tests share it.
    config["bind_addresses"] = [address]
    config["rtc"] = {
        "udp_port": free_port(socket.SOCK_DGRAM),
        "tcp_port": 0,
        "use_external_ip": False,
        "node_ip": LOOPBACK,
        "enable_loopback_candidate": True,
        "ips": {"includes": [f"{LOOPBACK}/32"]},
    }
    config["turn"] |= {"bind_addresses": [address]}
    config["webhook"]["urls"] = [f"{stack.proxy.portal}/webhooks/livekit/"]
    path = stack.folder / "livekit.yaml"
    path.write_text(stack.translate(yaml.safe_dump(config), "livekit", LOOPBACK))
    service = stack.service("livekit")
    service = {**service, "command": ["livekit-server", *service["command"]]}  # the image's entry point
    command = stack.command(service, "livekit", address, program=livekit_server())
    command = [str(path) if word == "/etc/livekit.yaml" else word for word in command]
    return stack.child("livekit", command), lambda: answers_http(f"http://{address}:{LIVEKIT_PORT}/")


def _emulator(stack: Stack) -> tuple[Child, Callable[[], bool]]:
    """Return the emulator, with the user and packages of the tests.

    It is not part of production.
    """
    address = stack.network.address("emulator")
    service = stack.service("emulator", "compose.demo.yaml")
    command = stack.command({**service, "command": [sys.executable, *service["command"][1:]]}, "emulator", address)
    command = command[len(stack.as_user) :]
    return stack.child("emulator", command, ROOT), lambda: answers_http(f"http://{address}:{EMULATOR_PORT}/_health")
