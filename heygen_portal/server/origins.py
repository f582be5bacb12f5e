"""Origin check of sockets, with the same rules as Django's check of forms."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

SCHEMES = {"ws": "http", "wss": "https"}


class OwnOriginMiddleware:
    """Denies sockets from pages of other origins.

    Origins in CSRF_TRUSTED_ORIGINS are allowed.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        application = self.application if is_own_origin(scope) else WebsocketDenier()
        await application(scope, receive, send)


def is_own_origin(scope: Any) -> bool:
    """Whether Origin is the request's own origin.

    Judged as Django does, including proxy headers.
    """
    scheme = SCHEMES.get(scope.get("scheme", "ws"), "http")
    return is_own_page(ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO()))


def is_own_page(request: HttpRequest) -> bool:
    """Whether a request was made by a page of the portal. See `is_own_origin`."""
    origin = request.META.get("HTTP_ORIGIN", "").lower()
    try:
        own = f"{request.scheme}://{request.get_host()}".lower()
    except DisallowedHost:
        return False
    return origin == own or origin in settings.CSRF_TRUSTED_ORIGINS
