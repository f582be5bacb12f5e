"""The portal's health and today's figures on the start page of the admin."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from heygen_portal.console import theme
from heygen_portal.people.access import roles
from sessions.costs import metrics, spend_alerts
from sessions.health import panel
from sessions.models import StreamingSession


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the figures to the page's context. Called by the admin theme."""
    theme.name_as_in_menu(context["app_list"])
    now = timezone.now()
    if request.user.has_perms(roles.SEE_HEALTH):
        context["may_see_health"], context["health"] = True, panel.panel(now, request.user)
    if request.user.has_perms(roles.SEE_SESSIONS):
        context["today"] = metrics.today(now)
    if request.user.has_perms(roles.SEE_COSTS):
        context["capped"] = spend_alerts.capped_accounts(now)
    return context


def open_now(request: HttpRequest) -> str:
    """Return the number of open sessions for the menu, or an empty string for none."""
    return str(StreamingSession.objects.open().count() or "")
