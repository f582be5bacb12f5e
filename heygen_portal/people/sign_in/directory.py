"""The organisation's directory, where single sign-on is set up."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def app() -> dict[str, Any] | None:
    """Return the one directory's settings, or None where there is none."""
    apps: list[dict[str, Any]] = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]
    return apps[0] if apps else None
