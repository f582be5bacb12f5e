"""Runs the emulator alone, with a LiveKit server unless LIVEKIT_URL names one."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from local import setup
from local.paths import VAR
from local.plan import ConfigurationError, Plan, environment, with_livekit
from local.ports import PortTaken
from local.processes import answers_http, end_as_on_ctrl_c
from local.servers import ProgramMissing, command
from local.supervisor import ChildEnded, Supervisor


def main() -> NoReturn:
    options, others = _parser().parse_known_args()
    setup.run_in_venv("local.emulator", [*_arguments(options), *others])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/emulator",
        description=f"{__doc__} All other options go to the emulator; its README lists them.",
        allow_abbrev=False,
    )
    parser.add_argument("--port", help="the emulator's port; EMULATOR_PORT does the same")
    parser.add_argument("--no-media", action="store_true", help="no LiveKit, no picture, no sound: for load tests")
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--api-key", metavar="KEY", help="the account's key; EMULATOR_API_KEY does the same")
    # Absolute, because the emulator runs in another folder than its caller.
    key.add_argument("--api-key-file", type=_absolute, metavar="PATH", help="a file that holds the key")
    parser.add_argument("--tls-folder", type=_absolute, metavar="PATH", help="where the local authority is kept")
    return parser


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _arguments(options: argparse.Namespace) -> list[str]:
    """Return the options as arguments again."""
    named = {f"--{name.replace('_', '-')}": value for name, value in vars(options).items()}
    switches = [name for name, value in named.items() if value is True]
    return switches + [f"{name}={value}" for name, value in named.items() if isinstance(value, str)]


def run() -> None:
    options, others = _parser().parse_known_args()
    if options.no_media:
        others.append("--no-media")
    if options.tls_folder:
        others.append(f"--tls-folder={options.tls_folder}")
    environ = environment()
    if options.port:
        environ["EMULATOR_PORT"] = options.port
    end_as_on_ctrl_c()
    try:
        _use_key(options, environ)
        _run(environ, others, has_media=not options.no_media)
    except (PortTaken, ConfigurationError, ProgramMissing) as exc:
        sys.exit(f"The emulator cannot start: {exc}")
    except ChildEnded as exc:
        sys.exit(f"\nThe emulator stopped: {exc}.")
    except KeyboardInterrupt:
        print("\nThe emulator is stopped.")


def _use_key(options: argparse.Namespace, environ: dict[str, str]) -> None:
    """Pass the command line's key in the environment, hidden from other users."""
    if options.api_key:
        environ["EMULATOR_API_KEY"] = options.api_key
    elif options.api_key_file:
        environ.pop("EMULATOR_API_KEY", None)
        environ["EMULATOR_API_KEY_FILE"] = options.api_key_file


def _run(environ: Mapping[str, str], others: list[str], *, has_media: bool) -> None:
    var = Path(environ.get("VAR_DIR") or VAR)
    plan = Plan(var, {**environ, "VAR_DIR": str(var)})
    if has_media:
        with_livekit(plan)
    plan.need("emulator", "EMULATOR_PORT", 8010)
    plan.secret("EMULATOR_API_KEY")
    key = plan.env.get("EMULATOR_API_KEY") or _read(Path(plan.env["EMULATOR_API_KEY_FILE"]))
    for note in plan.notes:
        print(note)
    supervisor = Supervisor(plan.names)
    try:
        for name in plan.names:
            more = others if name == "emulator" else []
            supervisor.start(name, [*command(name, plan.env), *more], plan.env)
        supervisor.wait_until(lambda: answers_http(plan.address("EMULATOR_PORT", path="/_health")), "emulator")
        print(f"The emulator is ready: {plan.address('EMULATOR_PORT')}\nAPI key: {key}\nCtrl-C ends it.", flush=True)
        supervisor.watch()
    finally:
        supervisor.stop()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"the key in {path} cannot be read: {exc}") from exc


if __name__ == "__main__":
    run()
