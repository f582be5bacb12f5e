"""Access to what monitors read: a token, or a request of this machine."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from heygen_portal.production import MIN_TOKEN_CHARACTERS
from heygen_portal.runtime import client_address

FORWARDED = frozenset(
    {b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"forwarded", b"via"}
)


def is_allowed(scope: Mapping[str, Any]) -> bool:
    """Return whether a request may read the state of the work.

    It needs the token `HEALTH_TOKEN`, or comes from this machine and through no proxy.
    """
    headers = {name.lower(): value for name, value in scope["headers"]}
    token = settings.HEALTH_TOKEN.encode()
    if len(token) >= MIN_TOKEN_CHARACTERS:
        sent = headers.get(b"authorization", b"")
        if hmac.compare_digest(sent, b"Bearer " + token):
            return True
    peer = (scope.get("client") or ("",))[0]
    # A proxy on this machine may forward strangers. It may keep their Host, too.
    host = headers.get(b"host", b"").decode("latin-1").rpartition(":")[0] or headers.get(b"host", b"").decode("latin-1")
    return (
        client_address.is_loopback(peer)
        and client_address.is_loopback(host.strip("[]"))
        and FORWARDED.isdisjoint(headers)
    )
