"""The admin site, which uses the portal's sign-in page."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.sites import UnfoldAdminSite


class PortalAdminSite(UnfoldAdminSite):
    @login_not_required
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send anonymous users to the sign-in page, others without access to "not found"."""
        if request.user.is_authenticated:
            raise Http404
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Remove empty badges, which the theme would still draw."""
        groups: list[dict[str, Any]] = super().get_sidebar_list(request)
        for entry in (entry for group in groups for entry in group["items"] if "badge_callback" in entry):
            if not str(entry["badge_callback"]):
                del entry["badge"]
        return groups

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Redirect to the portal's password page, which records changes and sends mail."""
        return redirect("account_change_password")
