"""Health check of a container: exit code 0 if its process works.

Worker, beat and monitor renew the file `ALIVE_FILE`. A container without that file serves HTTP, and must answer at the
address that is the argument.
"""

import os
import sys
import time
import urllib.request
from pathlib import Path

MAX_AGE_S = 60
TIMEOUT_S = 4


def problem(url: str) -> str:
    """Return what is wrong, or an empty string."""
    alive = Path(os.environ.get("ALIVE_FILE") or "/nonexistent")
    try:
        age_s = time.time() - alive.stat().st_mtime
        return "" if age_s <= MAX_AGE_S else f"{alive} was last renewed {age_s:.0f} s ago"
    except FileNotFoundError:
        pass
    try:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(url, timeout=TIMEOUT_S):
            return ""
    except OSError as exc:
        return f"{url}: {exc}"


if __name__ == "__main__":
    sys.exit(problem(sys.argv[1]) or 0)
