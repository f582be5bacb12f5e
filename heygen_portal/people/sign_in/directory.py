"""The organisation's directory for single sign-on."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def app() -> dict[str, Any] | None:
    """Return the directory's settings, or None if none is configured."""
    apps: list[dict[str, Any]] = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
    return apps[0] if apps else None
