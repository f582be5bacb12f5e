"""Settings from the environment.

A variable may come from the environment, from `.env` beside `manage.py`, or, for a secret, from the file that
`NAME_FILE` points at (as Docker and systemd pass secrets).
"""

from pathlib import Path

from environs import Env

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)


def secret(name: str, default: str = "") -> str:
    """Return a secret: `NAME`, else the stripped content of the file named by `NAME_FILE`, else the default."""
    path = env.str(f"{name}_FILE", "")
    if path and not env.str(name, ""):
        return Path(path).read_text(encoding="utf-8").strip()
    return env.str(name, default)


def stored_secret(name: str, keys: Path, default: str) -> str:
    """Return a secret, or the one stored in the folder `keys`, or the default.

    `bin/serve` and `manage.py restore` store secrets there, so each process uses the keys that belong to the database.
    """
    path = keys / name.lower()
    stored = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    return secret(name, stored or default)


def secrets(name: str) -> list[str]:
    """Return a list of secrets: `NAME`, comma-separated, else the lines of the file named by `NAME_FILE`."""
    path = env.str(f"{name}_FILE", "")
    if path and not env.str(name, ""):
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    else:
        lines = env.list(name, [])
    return [line.strip() for line in lines if line.strip()]


def stored_secrets(name: str, keys: Path) -> list[str]:
    """Return a list of secrets, or the lines of the one stored in the folder `keys`."""
    path = keys / name.lower()
    if env.str(name, "") or env.str(f"{name}_FILE", "") or not path.exists():
        return secrets(name)
    return path.read_text(encoding="utf-8").split()
