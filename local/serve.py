"""Run the whole portal on this machine until Ctrl-C.

Redis, LiveKit, emulator, web, worker, beat and monitor.
"""

import argparse
import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from local import plan as planning
from local import setup
from local.paths import ROOT, VAR, VENV_PYTHON
from local.plan import ConfigurationError, Plan
from local.ports import PortTaken
from local.processes import answers_http, end_as_on_ctrl_c
from local.servers import ProgramMissing, command, redis_answers
from local.supervisor import ChildEnded, Supervisor

BEFORE_MIGRATING = ("redis", "livekit", "emulator")
# Lines that look like something to do and are not: this Redis writes nothing to disk, and HTTP/2 is a proxy's business.
HIDDEN_LINES = ("Memory overcommit must be enabled", "HTTP/2 support not enabled")
# Celery warns root because of formats that can run code. Our workers accept JSON only.
HIDDEN_WARNING = "ignore:You're running the worker with superuser privileges"


def main() -> NoReturn:
    _parser().parse_args()
    setup.run_in_venv("local.serve", sys.argv[1:])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/serve",
        description=__doc__,
        epilog="PORT, REDIS_PORT, LIVEKIT_PORT and EMULATOR_PORT choose ports; REDIS_URL, LIVEKIT_URL, EMULATOR_URL "
        "and DATABASE_URL name servers that run elsewhere, which are then not started. See .env.example.",
    )
    parser.add_argument("--reset-passwords", action="store_true", help="give the first two people new passwords")
    return parser


def run(*, reset_passwords: bool) -> None:
    """Start everything, print the URL, and end everything on a signal.

    Also when one program ends.
    """
    environ = planning.environment()
    var = Path(environ.get("VAR_DIR") or VAR)
    end_as_on_ctrl_c()
    try:
        with exclusive(var):
            plan = planning.portal(var, environ)
            plan.env["PYTHONWARNINGS"] = ",".join(filter(None, (plan.env.get("PYTHONWARNINGS"), HIDDEN_WARNING)))
            supervisor = Supervisor(plan.names, hidden=HIDDEN_LINES)
            try:
                _start(plan, supervisor)
                print(_welcome(plan, _first_run(plan, reset_passwords=reset_passwords)), flush=True)
                supervisor.watch()
            finally:
                supervisor.stop()
    except (PortTaken, ConfigurationError, ProgramMissing) as exc:
        sys.exit(f"The portal cannot start: {exc}")
    except ChildEnded as exc:
        sys.exit(f"\nThe portal stopped: {exc}. Everything else was ended too.")
    except KeyboardInterrupt:
        print("\nThe portal is stopped.")


def _start(plan: Plan, supervisor: Supervisor) -> None:
    for note in plan.notes:
        print(note)
    early = [name for name in plan.names if name in BEFORE_MIGRATING]
    for name in early:
        supervisor.start(name, command(name, plan.env), plan.env)
    print("Bringing the database up to date ...", flush=True)
    _manage(plan, "migrate", "--verbosity", "0")
    for name in plan.names[len(early) :]:
        supervisor.start(name, command(name, plan.env), plan.env)
    _wait(plan, supervisor)


def _wait(plan: Plan, supervisor: Supervisor) -> None:
    if "redis" in plan.names:
        supervisor.wait_until(lambda: redis_answers(int(plan.env["REDIS_PORT"])), "redis")
    if "livekit" in plan.names:
        supervisor.wait_until(lambda: answers_http(plan.address("LIVEKIT_PORT")), "livekit")
    if "emulator" in plan.names:
        supervisor.wait_until(lambda: answers_http(plan.address("EMULATOR_PORT", path="/_health")), "emulator")
    supervisor.wait_until(lambda: answers_http(plan.address("PORT", path="/health")), "web")


def _first_run(plan: Plan, *, reset_passwords: bool) -> str:
    return _manage(plan, "first_run", *(["--reset-passwords"] if reset_passwords else []))


def _manage(plan: Plan, *args: str) -> str:
    """Run a management command and return its output.

    Raises ChildEnded with its errors if it fails.
    """
    done = subprocess.run(
        [VENV_PYTHON, "manage.py", *args], cwd=ROOT, env=plan.env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ChildEnded(f"`manage.py {' '.join(args)}` failed:\n{done.stdout}{done.stderr.strip()}\nThat is why")
    return done.stdout


def _welcome(plan: Plan, output: str) -> str:
    lines = output.strip().splitlines()
    if "Sign in as" not in output:
        lines.append("Sign in as admin or demo, as before. Password lost? bin/serve --reset-passwords gives new ones.")
    rule = "─" * 72
    address = plan.address("PORT")
    return "\n".join(
        [rule, f"The portal is ready: {address}/   (for staff: {address}/admin/)", *lines, "Ctrl-C ends it.", rule]
    )


@contextmanager
def exclusive(var: Path) -> Iterator[None]:
    """Allow one portal per data folder: two schedulers would do everything twice."""
    var.mkdir(parents=True, exist_ok=True)
    with (var / "serve.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"it already runs from {var}. Stop that one, or set VAR_DIR to another folder."
            ) from None
        yield


if __name__ == "__main__":
    run(reset_passwords=_parser().parse_args().reset_passwords)
