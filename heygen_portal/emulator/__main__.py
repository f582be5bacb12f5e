"""Serve HeyGen and LiveAvatar locally: `python -m heygen_portal.emulator`."""

import argparse
import asyncio
import logging
import os
import secrets
import signal
import ssl
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from jwt.warnings import InsecureKeyLengthWarning

from heygen_portal.emulator.app import Config, create_app
from heygen_portal.emulator.avatar.silent_performer import SilentPerformer
from heygen_portal.emulator.sessions.interfaces import PerformerFactory
from heygen_portal.emulator.sessions.rooms import LiveKit
from heygen_portal.emulator.sessions.rules import Rules

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def parser() -> argparse.ArgumentParser:
    args = argparse.ArgumentParser(
        prog="python -m heygen_portal.emulator",
        description="HeyGen's Streaming API and LiveAvatar on this machine. Rooms are those of the LiveKit server that "
        "LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET name.",
    )
    args.add_argument("--host", default="127.0.0.1")
    args.add_argument("--port", type=int, default=8900, help="0 takes a free one (default: %(default)s)")
    key = args.add_mutually_exclusive_group()
    key.add_argument(
        "--api-key", help="the account's key; without one EMULATOR_API_KEY, else a new one that is printed"
    )
    key.add_argument("--api-key-file", type=Path, help="a file that holds the key; EMULATOR_API_KEY_FILE does the same")
    args.add_argument("--liveavatar-key", default="", help="LiveAvatar's own key; without one it takes the same")
    args.add_argument("--no-media", action="store_true", help="no LiveKit, no picture, no sound: for load tests")
    args.add_argument("--control", action="store_true", help="open /_emulator/, where sessions are watched and broken")
    args.add_argument("--latency", type=float, default=0, metavar="MS", help="delay of each answer")
    args.add_argument("--tls", action="store_true", help="serve HTTPS too, with a certificate of a local authority")
    args.add_argument(
        "--tls-port", type=int, default=443, help="published clients know no other (default: %(default)s)"
    )
    args.add_argument("--tls-folder", type=Path, help="where the local authority is kept")
    args.add_argument("--concurrency", metavar="N", help="open sessions allowed")
    args.add_argument("--idle", metavar="S", help="default idle timeout")
    args.add_argument("--duration", metavar="S", help="session duration limit")
    args.add_argument(
        "--rule", action="append", default=[], metavar="NAME=VALUE", help="any other rule; see docs/providers.md"
    )
    return args


def rules_of(options: argparse.Namespace) -> Rules:
    """Return the rules with the command line's changes.

    Raises ValueError for an unknown rule.
    """
    changes: dict[str, object] = {}
    for pair in options.rule:
        name, _, value = pair.partition("=")
        changes[name] = value
    named = {"concurrency": options.concurrency, "idle_s": options.idle, "duration_s": options.duration}
    changes |= {name: value for name, value in named.items() if value is not None}
    return Rules().with_changes(**changes)


def api_key_of(options: argparse.Namespace, env: Mapping[str, str]) -> str:
    """Return the account's key, or an empty string if none is given.

    The command line precedes the environment.
    """
    if options.api_key or options.api_key_file:
        return options.api_key or read_key(options.api_key_file)
    return value_of("EMULATOR_API_KEY", env, "")


def value_of(name: str, env: Mapping[str, str], default: str) -> str:
    """Return `NAME`, else the key in the file named by `NAME_FILE`, else the default."""
    if not env.get(name) and (path := env.get(f"{name}_FILE")):
        return read_key(Path(path))
    return env.get(name, default)


def read_key(path: Path) -> str:
    """Return the key in a file. Raises ValueError if it is empty."""
    if key := path.read_text().strip():
        return key
    raise ValueError(f"{path} holds no key")


def livekit_of(env: Mapping[str, str]) -> LiveKit:
    default = LiveKit()
    return LiveKit(
        env.get("LIVEKIT_URL", default.url),
        value_of("LIVEKIT_API_KEY", env, default.key),
        value_of("LIVEKIT_API_SECRET", env, default.secret),
    )


def performer_factory(*, has_media: bool) -> PerformerFactory:
    """Return the class of performer: in a LiveKit room, or silent without media."""
    if not has_media:
        return SilentPerformer
    from heygen_portal.emulator.avatar.performer import RoomPerformer  # WebRTC is not loaded without media

    return RoomPerformer


def print_line(line: str) -> None:
    """Print a line at once, as the parent process may wait for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Listener:
    """An address to serve on. Port 0 means a free port."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


async def serve(app: web.Application, listeners: list[Listener]) -> None:
    """Serve until SIGINT or SIGTERM, then end open sessions."""
    stopped = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        for listener in listeners:
            await web.TCPSite(runner, listener.host, listener.port, ssl_context=listener.tls).start()
        for listener, address in zip(listeners, runner.addresses, strict=True):
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            print_line(f"emulator: {'https' if listener.tls else 'http'}://{host}:{address[1]}")
        await stopped.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    args = parser()
    options = args.parse_args()
    try:
        given_key = api_key_of(options, os.environ)
        config = Config(
            api_key=given_key or secrets.token_urlsafe(24),
            rules=rules_of(options),
            livekit=livekit_of(os.environ),
            has_media=not options.no_media,
            has_control=options.control,
            latency_s=options.latency / 1000,
            liveavatar_key=options.liveavatar_key,
        )
    except (ValueError, OSError) as exc:
        args.error(str(exc))
    if options.control and options.host not in LOOPBACK:
        args.error("--control opens switches for everybody who reaches the host: only on loopback")
    # The secret of `livekit-server --dev` is short and public.
    warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # LiveKit's client logs every room deleted at the end of a session as an error.
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    listeners = [Listener(options.host, options.port)]
    if options.tls:
        from heygen_portal.emulator import certificates  # large, and needed only here

        tls, authority = certificates.server_context(options.tls_folder or certificates.default_folder())
        listeners.append(Listener(options.host, options.tls_port, tls))
        print_line(f"certificate authority to trust: {authority}")
    if not given_key:
        print_line(f"API key: {config.api_key}")
    app = create_app(config, performer_factory(has_media=config.has_media))
    try:
        asyncio.run(serve(app, listeners))
    except OSError as exc:  # a port that is taken or privileged
        args.exit(1, f"{exc.strerror or exc}\n")


if __name__ == "__main__":
    main()
