"""Runs the emulator alone, with a LiveKit server unless LIVEKIT_URL names one."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from local import setup
from local.keys import stored_secret
from local.paths import VAR
from local.plan import ConfigurationError, Plan, environment, with_livekit
from local.ports import PortTaken
from local.processes import answers_http, end_as_on_ctrl_c
from local.servers import ProgramMissing, command
from local.supervisor import ChildEnded, Supervisor


def main() -> NoReturn:
    _parser().parse_known_args()
    setup.run_in_venv("local.emulator", sys.argv[1:])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/emulator",
        description=f"{__doc__} All other options go to the emulator: see `python -m heygen_portal.emulator --help`.",
    )
    parser.add_argument("--port", help="the emulator's port; EMULATOR_PORT does the same")
    parser.add_argument("--no-media", action="store_true", help="no LiveKit, no picture, no sound: for load tests")
    return parser


def run() -> None:
    options, others = _parser().parse_known_args()
    if options.no_media:
        others.append("--no-media")
    environ = environment()
    if options.port:
        environ["EMULATOR_PORT"] = options.port
    end_as_on_ctrl_c()
    try:
        _run(environ, others, has_media=not options.no_media)
    except (PortTaken, ConfigurationError, ProgramMissing) as exc:
        sys.exit(f"The emulator cannot start: {exc}")
    except ChildEnded as exc:
        sys.exit(f"\nThe emulator stopped: {exc}.")
    except KeyboardInterrupt:
        print("\nThe emulator is stopped.")


def _run(environ: Mapping[str, str], others: list[str], *, has_media: bool) -> None:
    var = Path(environ.get("VAR_DIR") or VAR)
    plan = Plan(var, {**environ, "VAR_DIR": str(var)})
    if has_media:
        with_livekit(plan)
    plan.need("emulator", "EMULATOR_PORT", 8010)
    plan.secret("EMULATOR_API_KEY")
    key = (
        stored_secret(Path(plan.env["EMULATOR_API_KEY_FILE"]))
        if "EMULATOR_API_KEY_FILE" in plan.env
        else "that of EMULATOR_API_KEY"
    )
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


if __name__ == "__main__":
    run()
