"""A file whose age shows that this process works, for the health check of its container."""

from __future__ import annotations

import logging
from pathlib import Path

from django.conf import settings

logger = logging.getLogger(__name__)

RENEW_INTERVAL_S = 10.0


def renew() -> None:
    """Renew the file `ALIVE_FILE`, if that is set. Only logs if it cannot be written."""
    if not settings.ALIVE_FILE:
        return
    try:
        Path(settings.ALIVE_FILE).touch()
    except OSError as exc:
        logger.warning("ALIVE_FILE cannot be renewed: %s", exc.strerror)
