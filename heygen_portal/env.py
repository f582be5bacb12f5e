"""Settings from the environment.

A variable `NAME` may come from the environment, from `.env` beside `manage.py`, or from the file that `NAME_FILE`
points at, as Docker and systemd pass secrets. A value takes precedence over a file.
"""

from pathlib import Path
from typing import Any

from environs import Env, FileAwareEnv

BASE_DIR = Path(__file__).resolve().parent.parent


class PortalEnv(FileAwareEnv):
    """Read `NAME`, else the content of the file that `NAME_FILE` names.

    The content is stripped. With neither, the default applies.
    """

    def __init__(self) -> None:
        super().__init__(strip_whitespace=True)

    def _get_value(self, env_key: str, default: Any) -> Any:
        return Env._get_value(self, env_key, "") or super()._get_value(env_key, default)

    def is_from_file(self, name: str) -> bool:
        """Whether the value is in a file. Such a list has one value per line."""
        return not Env._get_value(self, name, "") and bool(self.str(f"{name}_FILE", ""))


env = PortalEnv()
env.read_env(str(BASE_DIR / ".env"), recurse=False)


def stored_secret(name: str, keys: Path, default: str) -> str:
    """Return a secret, or the one stored in the folder `keys`, or the default.

    `bin/serve` and `manage.py restore` store secrets there, so each process uses the keys that belong to the database.
    """
    path = keys / name.lower()
    stored = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    return env.str(name, "") or stored or default


def stored_secrets(name: str, keys: Path) -> list[str]:
    """Return a list of secrets.

    They are comma-separated in the environment, or one per line in a file, or in the folder `keys`.
    """
    path = keys / name.lower()
    if given := env.str(name, ""):
        values = given.splitlines() if env.is_from_file(name) else env.list(name)
        return [value.strip() for value in values if value.strip()]
    return path.read_text(encoding="utf-8").split() if path.exists() else []
