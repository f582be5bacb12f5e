"""The cookie by which a guest's device is counted.

It is partitioned: a browser sends it only to the portal's frames on the same site, so it follows nobody across sites,
and browsers that block third-party cookies keep it. It holds a random number and nothing about the guest.
"""

from __future__ import annotations

import http.cookies
import secrets
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse

from heygen_portal.runtime.client_address import is_loopback

NAME = "guest_device"
PATH = "/"  # of pages and of their sockets, which are below /ws/
LIFETIME = timedelta(days=1)
MAX_CHARACTERS = 64

# Python knows the attribute from 3.14 on.
_morsel: Any = http.cookies.Morsel
_morsel._reserved.setdefault("partitioned", "Partitioned")
_morsel._flags.add("partitioned")


def read(cookies: Any) -> str:
    """Return the device's number, or an empty string."""
    value = str(cookies.get(NAME, ""))
    return value if 0 < len(value) <= MAX_CHARACTERS else ""


def ensure(request: HttpRequest, response: HttpResponse) -> None:
    """Give the device a number if it has none. An insecure address gets no cookie: browsers would refuse it."""
    host = request.get_host().rsplit(":", 1)[0].strip("[]")
    if read(request.COOKIES) or not (request.is_secure() or is_loopback(host)):
        return
    response.set_cookie(
        NAME, secrets.token_urlsafe(16), max_age=LIFETIME, path=PATH, secure=True, httponly=True, samesite="None"
    )
    response.cookies[NAME]["partitioned"] = True
