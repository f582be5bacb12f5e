"""Compile the lock files once a version has changed in a project file."""

import subprocess

from local.node import npm
from local.paths import ROOT, VENV

# The files must be valid on all supported platforms, and name the command that compiles them.
COMPILE = ["pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", "3.11", "--no-annotate"]
FILES = {
    "requirements.txt": ["pyproject.toml"],
    "requirements-emulator.txt": ["pyproject.toml", "--extra", "emulator", "--constraints", "requirements.txt"],
    "requirements-dev.txt": [
        "pyproject.toml",
        "--extra",
        "emulator",
        "--group",
        "dev",
        "--constraints",
        "requirements-emulator.txt",
    ],
    "requirements-programs.txt": ["--no-deps", "--group", "programs"],
}


def compile_all() -> None:
    for name, sources in FILES.items():
        command = [
            str(VENV / "bin" / "uv"),
            *COMPILE,
            "--custom-compile-command",
            "bin/setup --lock",
            *sources,
            "-o",
            name,
        ]
        subprocess.run(command, cwd=ROOT, check=True)
    subprocess.run([*npm(), "install", "--package-lock-only", "--no-audit", "--no-fund"], cwd=ROOT, check=True)
