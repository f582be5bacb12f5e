"""Where a request comes from."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def of(request: HttpRequest) -> str | None:
    """Return the address of whoever asks, past as many proxies as PROXY_COUNT says.

    Each proxy adds who spoke to it at the end of X-Forwarded-For; what stands before those anybody may write.
    """
    passed = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    proxies: int = settings.PROXY_COUNT
    found = passed[-proxies] if 0 < proxies <= len(passed) else request.META.get("REMOTE_ADDR", "")
    try:
        return str(ip_address(found))
    except ValueError:
        return None
