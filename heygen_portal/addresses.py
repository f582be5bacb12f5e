"""Where a request comes from."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest


def of(request: HttpRequest) -> str | None:
    """Return the address of whoever asks, past as many proxies as PROXY_COUNT says.

    Each proxy adds who spoke to it at the end of X-Forwarded-For; what stands before those anybody may write.
    """
    return _past_proxies(request.META.get("HTTP_X_FORWARDED_FOR", ""), request.META.get("REMOTE_ADDR", ""))


def of_socket(scope: Mapping[str, Any]) -> str | None:
    """Do what `of` does, for a WebSocket."""
    forwarded = dict(scope["headers"]).get(b"x-forwarded-for", b"").decode("latin-1")
    return _past_proxies(forwarded, (scope.get("client") or ("",))[0])


def _past_proxies(forwarded: str, peer: str) -> str | None:
    passed = [part.strip() for part in forwarded.split(",")]
    proxies: int = settings.PROXY_COUNT
    found = passed[-proxies] if 0 < proxies <= len(passed) else peer
    try:
        return str(ip_address(found))
    except ValueError:
        return None
