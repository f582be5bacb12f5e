"""What the admin's first page shows: how it goes today, to each as much as they may see."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from heygen_portal.people.access import roles
from sessions.costs import metrics, spend_alerts
from sessions.models import StreamingSession


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the figures; the theme calls this with the page's own."""
    now = timezone.now()
    if request.user.has_perms(roles.SEE_SESSIONS):
        context["today"] = metrics.today(now)
    if request.user.has_perms(roles.SEE_COSTS):
        context["capped"] = spend_alerts.capped(now)
    return context


def open_now(request: HttpRequest) -> str:
    """How many sessions are open, for the menu; nothing for none."""
    return str(StreamingSession.objects.open().count() or "")
