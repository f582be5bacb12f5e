"""A portal on two machines behind one proxy: each has a web process, a limits worker, a worker and a beat.

Each machine reaches Redis and PostgreSQL through network paths of its own, and the second one's clock is ahead.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import urlsplit

from local import processes, setup
from local import servers as programs
from local.paths import VENV_PYTHON
from local.ports import free_ports
from local.processes import Child
from tests.support import servers
from tests.support.console import Console, console
from tests.support.proxy import Network, Proxy, proxy

WEB_PORT = 8000
CLOCK_AHEAD_S = 20.0
"""How far the clock of the second machine is ahead of the first one's, which is the database's."""
START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Machine:
    """The processes of one machine, and its network paths."""

    name: str
    address: str
    web: Child
    limits: Child
    worker: Child
    beat: Child
    to_redis: Child
    to_database: Child

    @property
    def portal_processes(self) -> list[Child]:
        return [self.web, self.limits, self.worker, self.beat]

    def is_web_healthy(self) -> bool:
        return processes.answers_http(f"http://{self.address}:{WEB_PORT}/health")

    def start(self, child: Child) -> None:
        """Start one of its processes, and wait until it works. Raises StartFailed."""
        said = len(child.output())

        def is_ready() -> bool:
            if child is self.web:
                return self.is_web_healthy()
            return child.is_running and (child is self.beat or " ready." in child.output()[said:])

        child.start()
        child.wait_until(is_ready, seconds=START_TIMEOUT_S)


@dataclass(frozen=True)
class Site:
    proxy: Proxy
    environment: Mapping[str, str] = field(repr=False)
    """Of this machine, which reaches the servers directly."""
    folder: Path
    redis: Child
    database: Child
    machines: tuple[Machine, ...]
    console: Console = field(repr=False)

    @property
    def url(self) -> str:
        return self.proxy.portal

    def tls(self) -> ssl.SSLContext:
        return self.proxy.tls()


@contextmanager
def site(emulator: servers.Emulator, livekit: servers.LiveKit | None, env: Mapping[str, str]) -> Iterator[Site]:
    """Run the portal with an empty, migrated database and the emulator's catalogue."""
    setup.ensure(tests=True)
    network = Network()
    addresses = [network.address(name) for name in ("web-1", "web-2")]
    with servers.folder() as here, ExitStack() as stack:
        postgres = stack.enter_context(servers.postgres_process("max_connections=400"))
        redis = stack.enter_context(servers.redis_process())
        environment = {
            "VAR_DIR": str(here),
            "DJANGO_SECRET_KEY": token_urlsafe(48),
            "FIELD_ENCRYPTION_KEY": token_urlsafe(48),
            "REDIS_URL": redis.url,
            "DATABASE_URL": postgres.url,
            "ALLOWED_HOSTS": ",".join([network.address("portal"), *addresses]),
            "HTTPS": "1",
            "PROXY_COUNT": "1",
            **(livekit.env() if livekit else {}),
            **emulator.env(),
            **env,
        }
        commands = stack.enter_context(console(environment, here / "console.log"))
        commands.run("migrate")
        servers.first_run(commands)
        machines = tuple(
            _machine(here, environment, name, address, clock_ahead_s)
            for name, address, clock_ahead_s in zip("AB", addresses, (0, CLOCK_AHEAD_S), strict=True)
        )
        children = [child for machine in machines for child in machine.portal_processes]
        paths = [path for machine in machines for path in (machine.to_redis, machine.to_database)]
        with ThreadPoolExecutor() as side_by_side, ExitStack() as running:
            running.callback(lambda: list(side_by_side.map(Child.kill, paths)))
            running.callback(lambda: list(side_by_side.map(Child.stop, children)))
            for path in paths:
                path.start()
            for machine in machines:
                list(side_by_side.map(machine.start, machine.portal_processes))
            (here / "proxy").mkdir()
            in_front = running.enter_context(proxy(here / "proxy", network, addresses, WEB_PORT))
            yield Site(in_front, environment, here, redis.process, postgres.process, machines, commands)


def _machine(here: Path, environment: Mapping[str, str], name: str, address: str, clock_ahead_s: float) -> Machine:
    redis_url, database_url = urlsplit(environment["REDIS_URL"]), urlsplit(environment["DATABASE_URL"])
    redis_port, database_port = free_ports(2)
    folder = here / name
    folder.mkdir()
    own = {
        **environment,
        "REDIS_URL": environment["REDIS_URL"].replace(f":{redis_url.port}", f":{redis_port}"),
        "DATABASE_URL": environment["DATABASE_URL"].replace(f":{database_url.port}", f":{database_port}"),
    }

    def path(to: str, listen: int, target: int | None) -> Child:
        command = [str(VENV_PYTHON), "-m", "bench._network", f"{listen}:{target}"]
        return Child(f"network of {name} to {to}", command, folder / f"{to}.log")

    def portal_process(what: str) -> Child:
        variables = {"PORT": str(WEB_PORT), "VAR_DIR": str(folder)}
        command = programs.command(what, variables)
        if what == "web":
            command[command.index("-b") + 1] = address
        if clock_ahead_s:
            program = [word for word in command[1:] if word != "-m"] if what == "web" else ["celery", *command[1:]]
            command = [str(VENV_PYTHON), "-m", "bench._shifted_clock", str(clock_ahead_s), *program]
        return Child(f"{what} {name}", command, folder / f"{what}.log", env=own)

    return Machine(
        name,
        address,
        web=portal_process("web"),
        limits=portal_process("limits"),
        worker=portal_process("worker"),
        beat=portal_process("beat"),
        to_redis=path("redis", redis_port, redis_url.port),
        to_database=path("database", database_port, database_url.port),
    )
