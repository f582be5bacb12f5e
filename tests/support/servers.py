"""Real servers on free loopback ports, for tests and benchmarks.

Each ends with its `with` block.

with servers.livekit() as livekit, servers.emulator(livekit) as emulator, servers.portal(emulator, livekit) as portal:
    ...
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from local import ports, processes, servers, setup
from local import postgres as postgres_programs
from local.processes import Child, StartFailed
from local.servers import LiveKitKeys
from tests.support import migrated
from tests.support.console import Console, console

HEYGEN_PERSONAS = """
from avatars.models import ProviderAccount
from avatars.personas import starters
for account in ProviderAccount.objects.filter(kind="heygen"):
    for starter in starters.STARTERS:
        starters.publish_starter(account, starter)
"""
TRIES = 4  # another program may take a port before it is bound


@dataclass(frozen=True)
class LiveKit:
    url: str
    api_key: str
    api_secret: str = field(repr=False)
    process: Child
    web_port: int
    """Port of its webhook. The portal started with it listens there."""
    config: Path
    """Configuration file. Changes apply from the next start."""

    def env(self) -> dict[str, str]:
        return {"LIVEKIT_URL": self.url, "LIVEKIT_API_KEY": self.api_key, "LIVEKIT_API_SECRET": self.api_secret}


@dataclass(frozen=True)
class Emulator:
    url: str
    api_key: str = field(repr=False)
    process: Child

    def env(self) -> dict[str, str]:
        return {"EMULATOR_URL": self.url, "EMULATOR_API_KEY": self.api_key}


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="heygen-portal-") as path:
        yield Path(path)


@contextmanager
def running(make: Callable[[], tuple[Child, Callable[[], bool]]]) -> Iterator[Child]:
    """Start a child and wait until it is ready.

    Make another one if its port was taken meanwhile.
    """
    for last_try in (*[False] * (TRIES - 1), True):
        child, is_ready = make()
        try:
            child.start()
            child.wait_until(is_ready)
            break
        except StartFailed:
            if last_try or child.is_running or "in use" not in child.output().lower():
                raise
        except BaseException:  # interrupted while waiting: do not leave it running
            child.stop()
            raise
    try:
        yield child
    finally:
        child.stop()


@dataclass(frozen=True)
class Redis:
    url: str
    process: Child


@contextmanager
def redis() -> Iterator[str]:
    """Run a Redis server without persistence. Yield its URL."""
    with redis_process() as redis:
        yield redis.url


@contextmanager
def redis_process() -> Iterator[Redis]:
    """Run a Redis server without persistence that tests can kill and restart."""
    url = ""
    with folder() as here:

        def make() -> tuple[Child, Callable[[], bool]]:
            nonlocal url
            port = ports.free_port()
            url = f"redis://{ports.LOOPBACK}:{port}/0"
            command = servers.command("redis", {"REDIS_PORT": str(port), "VAR_DIR": str(here)})
            return Child("redis", command, here / "log"), lambda: servers.redis_answers(port)

        with running(make) as child:
            yield Redis(url, child)


@dataclass(frozen=True)
class Postgres:
    url: str
    process: Child


@contextmanager
def postgres(*settings: str, cluster: Path | None = None, keep: Path | None = None) -> Iterator[str]:
    """Run a temporary PostgreSQL server with NAME=VALUE `settings`. Yield its URL.

    Its data is new or a copy of `cluster`, and is deleted at the end unless `keep` names a path to move it to.
    """
    with postgres_process(*settings, cluster=cluster, keep=keep) as postgres:
        yield postgres.url


@contextmanager
def postgres_process(*settings: str, cluster: Path | None = None, keep: Path | None = None) -> Iterator[Postgres]:
    """Do what `postgres` does. Yield the process as well."""
    programs = postgres_programs.folder()
    if programs is None:
        raise servers.ProgramMissing("PostgreSQL is not on this machine. Run bin/setup --tests.")
    before, url = postgres_programs.as_ordinary_user(), ""
    with folder() as here:
        data = here / "data"
        if before:
            shutil.chown(here, "nobody", "nogroup")
        make_cluster = [
            *before,
            str(programs / "initdb"),
            "--no-sync",
            "--auth=trust",
            "--username=portal",
            "-E",
            "UTF8",
        ]
        if cluster:
            _run(["cp", "-a", str(cluster), str(data)], cwd=here)  # with its owner
        else:
            _run([*make_cluster, "--locale=C", "-D", str(data)], cwd=here)
        # The data is temporary, so it need not reach the disk.
        options = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "unix_socket_directories=", *settings)

        def make() -> tuple[Child, Callable[[], bool]]:
            nonlocal url
            port = ports.free_port()
            url = f"postgres://portal@{ports.LOOPBACK}:{port}/postgres"
            command = [*before, str(programs / "postgres"), "-D", str(data), "-h", ports.LOOPBACK, "-p", str(port)]
            command += [word for option in options for word in ("-c", option)]
            return Child("postgres", command, here / "log", cwd=here), lambda: _answers_sql(url)

        with running(make) as child:
            try:
                yield Postgres(url, child)
            finally:
                os.kill(child.pid, signal.SIGINT)  # at SIGTERM it would wait for open connections
        if keep:
            _run(["mv", str(data), str(keep)], cwd=here)


def _answers_sql(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def livekit(change: Callable[[dict[str, Any]], None] = lambda _: None, *, own_address: str = "") -> Iterator[LiveKit]:
    """Run a LiveKit server with its own keys, on loopback and `own_address`.

    `change` may alter its configuration.
    """
    keys, url, web_port = LiveKitKeys.new(), "", ports.free_port()
    with folder() as here:

        def make() -> tuple[Child, Callable[[], bool]]:
            nonlocal url
            port, udp_port = ports.free_port(), ports.free_port(socket.SOCK_DGRAM)
            url = f"ws://{ports.LOOPBACK}:{port}"
            config = here / "livekit.json"
            servers.write_livekit_config(config, port, udp_port, keys, own_address=own_address, web_port=web_port)
            change(settings := json.loads(config.read_text()))
            config.write_text(json.dumps(settings))
            command = servers.command("livekit", {"LIVEKIT_CONFIG_FILE": str(config)})
            health = f"http://{ports.LOOPBACK}:{port}/"
            return Child("livekit", command, here / "log"), lambda: processes.answers_http(health)

        with running(make) as child:
            yield LiveKit(url, keys.key, keys.secret, child, web_port, here / "livekit.json")


@contextmanager
def emulator(livekit: LiveKit | None = None, *, media: bool = True, args: Sequence[str] = ()) -> Iterator[Emulator]:
    """Run the emulator.

    It has no media without a LiveKit server or with `media=False`.
    """
    key, url = secrets.token_urlsafe(24), ""
    options = [*args] if livekit and media else ["--no-media", *args]
    with folder() as here:
        (here / "key").write_text(key)

        def make() -> tuple[Child, Callable[[], bool]]:
            nonlocal url
            port = ports.free_port()
            url = f"http://{ports.LOOPBACK}:{port}"
            command = [*servers.command("emulator", {"EMULATOR_PORT": str(port)}), *options]
            its_key = {"EMULATOR_API_KEY": "", "EMULATOR_API_KEY_FILE": str(here / "key")}
            child = Child("emulator", command, here / "log", env=its_key | (livekit.env() if livekit else {}))
            return child, lambda: processes.answers_http(f"{url}/_health")

        with running(make) as child:
            yield Emulator(url, key, child)


@dataclass(frozen=True)
class Web:
    """A single web process."""

    port: int
    folder: Path
    process: Child
    console: Console = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.port}"


@contextmanager
def web(redis_url: str, *, env: Mapping[str, str] | None = None, script: str = "") -> Iterator[Web]:
    """Run a web process with its own SQLite file, without worker and providers.

    `script` is Python code that runs before it starts.
    """
    with folder() as here, ExitStack() as stack:
        environment = {
            "VAR_DIR": str(here),
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(48),
            "FIELD_ENCRYPTION_KEY": secrets.token_urlsafe(48),
            "REDIS_URL": redis_url,
            "DATABASE_URL": f"sqlite:///{here}/db.sqlite3",
            **(env or {}),
        }
        migrated.copy_to(here / "db.sqlite3")
        commands = stack.enter_context(console(environment, here / "console.log"))
        if script:
            commands.run("shell", "-v0", "-c", script)
        port = 0

        def make() -> tuple[Child, Callable[[], bool]]:
            nonlocal port
            port = ports.free_port()
            health = f"http://{ports.LOOPBACK}:{port}/health"
            process = Child("web", servers.command("web", {"PORT": str(port)}), here / "web.log", env=environment)
            return process, lambda: processes.answers_http(health)

        process = stack.enter_context(running(make))
        yield Web(port, here, process, commands)


@dataclass(frozen=True)
class Portal:
    """Redis, web, worker and beat, which can each be stopped, killed and restarted."""

    port: int
    environment: Mapping[str, str] = field(repr=False)
    redis: Child
    web: Child
    worker: Child
    beat: Child
    console: Console = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.port}"

    def is_healthy(self) -> bool:
        return processes.answers_http(f"{self.url}/health")

    def manage(self, *args: str) -> str:
        """Run a management command with this portal's settings and return its output."""
        return self.console.run(*args)

    def use_rooms(self, whose: str) -> None:
        """Use rooms of the `provider` or our `own` for new sessions."""
        use = f"from avatars.models import ProviderAccount; ProviderAccount.objects.update(rooms={whose!r})"
        self.manage("shell", "-v0", "-c", use)


def all_queues_worker(*, concurrency: int = 2) -> list[str]:
    """Return the command of one worker for all queues.

    It starts faster than one for each.
    """
    command = servers.command("worker", {})
    cut = command.index("--queues")
    return [*command[:cut], *command[cut + 2 :], "--concurrency", str(concurrency)]


@contextmanager
def portal(
    emulator: Emulator | None = None,
    livekit: LiveKit | None = None,
    *,
    database_url: str | None = None,
    env: Mapping[str, str] | None = None,
    as_shipped: bool = False,
) -> Iterator[Portal]:
    """Run a migrated portal, with a catalogue and two personas if there is an emulator.

    The personas have HeyGen's avatars, which answer with the provider's model: what most tests are about. Those that a
    new portal has, with the organisation's own model, are published `as_shipped`.

    Its Redis is its own: the worker of a second portal there would take the jobs of the first.
    Without `database_url` it has an SQLite file of its own.
    """
    setup.ensure(tests=True)  # so that edits since the last set-up are served
    with folder() as here, ExitStack() as stack:
        redis = stack.enter_context(redis_process())
        environment = {
            "VAR_DIR": str(here),
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(48),
            "FIELD_ENCRYPTION_KEY": secrets.token_urlsafe(48),
            "REDIS_URL": redis.url,
            "DATABASE_URL": database_url or f"sqlite:///{here}/db.sqlite3",
            **(livekit.env() if livekit else {}),
            **(emulator.env() if emulator else {}),
            **(env or {}),
        }
        commands = stack.enter_context(console(environment, here / "console.log"))
        if database_url:
            commands.run("migrate")
        else:
            migrated.copy_to(here / "db.sqlite3")
        first_run(commands, as_shipped=as_shipped)
        port = 0

        def make_web() -> tuple[Child, Callable[[], bool]]:
            nonlocal port
            # If two portals share a LiveKit server, the first gets the webhooks.
            port = livekit.web_port if livekit and not port else ports.free_port()
            health = f"http://{ports.LOOPBACK}:{port}/health"
            address = {"PORTAL_URL": f"http://{ports.LOOPBACK}:{port}"}
            command = servers.command("web", {"PORT": str(port)})
            web = Child("web", command, here / "web.log", env=address | environment)
            return web, lambda: processes.answers_http(health)

        def make_worker() -> tuple[Child, Callable[[], bool]]:
            worker = Child("worker", all_queues_worker(), here / "worker.log", env=environment)
            return worker, lambda: " ready." in worker.output()

        def make_beat() -> tuple[Child, Callable[[], bool]]:
            beat = Child("beat", servers.command("beat", environment), here / "beat.log", env=environment)
            return beat, lambda: beat.is_running

        side_by_side = stack.enter_context(ThreadPoolExecutor())
        web, worker, beat = side_by_side.map(
            lambda make: stack.enter_context(running(make)), (make_web, make_worker, make_beat)
        )
        yield Portal(port, environment, redis.process, web, worker, beat, commands)
        list(side_by_side.map(Child.stop, (web, worker, beat)))


def first_run(commands: Console, *, as_shipped: bool = False) -> None:
    """Create users, accounts and two personas: those of a new portal `as_shipped`, or HeyGen's."""
    if as_shipped:
        commands.run("first_run")
        return
    commands.run("first_run", "--no-personas")
    commands.run("shell", "-v0", "-c", HEYGEN_PERSONAS)


def _run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartFailed(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
