"""Second factor for staff.

With STAFF_NEEDS_SECOND_FACTOR, staff without one can only set it up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.deprecation import MiddlewareMixin

from heygen_portal.runtime.in_thread import in_thread

EXEMPT_PAGES = frozenset(
    {
        "mfa_activate_totp",
        "account_reauthenticate",
        "mfa_reauthenticate",
        "account_confirm_by_directory",
        "account_confirmed",
        "openid_connect_callback",
        "account_logout",
        "account_sign_out_everywhere",
        "set_language",
        "health",
        "sessions:livekit_webhook",
    }
)
"""URL names that staff without a second factor may open."""


def is_missing(user: Any) -> bool:
    """Whether this user must set up a second factor first."""
    if not settings.STAFF_NEEDS_SECOND_FACTOR or not user.is_authenticated or not user.is_staff:
        return False
    return not get_adapter().is_mfa_enabled(user, [Authenticator.Type.TOTP])


class SecondFactorMiddleware(MiddlewareMixin):
    """Redirect staff without a second factor to its set-up page."""

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponse | None:
        match = request.resolver_match
        if (match and match.view_name in EXEMPT_PAGES) or not is_missing(request.user):
            return None
        return redirect("mfa_activate_totp")


class SecondFactorSocketMiddleware:
    """Treats staff without a second factor as anonymous on sockets."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if settings.STAFF_NEEDS_SECOND_FACTOR and await in_thread(is_missing)(scope["user"]):
            scope = {**scope, "user": AnonymousUser()}
        await self.application(scope, receive, send)
