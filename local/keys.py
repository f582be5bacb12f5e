"""Secrets created at the first run, each in a file of its owner's only."""

import secrets
from collections.abc import Callable
from pathlib import Path

from local.paths import write_private
from local.servers import LiveKitKeys


def stored_secret(path: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(48)) -> str:
    """Return the secret in a file, creating it if it does not exist."""
    if not path.exists():
        write_private(path, make())
    return path.read_text()


def livekit_keys(folder: Path) -> LiveKitKeys:
    new = LiveKitKeys.new()
    key = stored_secret(folder / "livekit_api_key", lambda: new.key)
    return LiveKitKeys(key, stored_secret(folder / "livekit_api_secret", lambda: new.secret))
