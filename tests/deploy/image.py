"""The Containerfile's stage `build`, carried out in a folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from local.paths import ROOT
from tests.deploy.containerfile import CONTAINERFILE

# Paths of the image that are below the folder here.
PLACE = re.compile(r"(?<![\w.])(/venv|/app|/emulator|/tmp/var)(?=/|\s|$)")
TRACKED = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "--")
PASSED_ON = ("HOME", "PIP_CONFIG_FILE", "PIP_INDEX_URL", "SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy")


def build(folder: Path, python: Path) -> None:
    """Create `app` with the portal and `venv` with its packages.

    `python` stands for the base image's, and `node_modules` for the stage `scripts`.
    """
    app, programs = folder / "app", folder / "bin"
    app.mkdir(parents=True)
    programs.mkdir()
    (programs / "python").symlink_to(python)
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    for instruction, value in CONTAINERFILE.stages["build"].instructions:
        if instruction == "RUN":
            command = PLACE.sub(rf"{folder}\1", value)
            subprocess.run(["sh", "-ec", command], cwd=app, env=environment, stdout=subprocess.DEVNULL, check=True)
        elif instruction == "COPY":
            _copy(shlex.split(value), app)


def _copy(words: list[str], app: Path) -> None:
    if words[0] == "--from=scripts":
        (app / words[2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / words[1].removeprefix("/build/"), app / words[2])
        return
    listed = subprocess.run([*TRACKED, *words[:-1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).exists():
            (app / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, app / name)
