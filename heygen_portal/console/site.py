"""The admin site, which uses the portal's sign-in page and limits searches and actions of staff."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import get_language_info
from unfold.dataclasses import Favicon
from unfold.sites import UnfoldAdminSite

from heygen_portal.branding.current import current
from heygen_portal.runtime import budgets, client_address, refusals
from heygen_portal.runtime.budgets import TooManyRequests

# Budgets by the query parameter that holds a search: of lists, of choices in forms, and of the sidebar.
SEARCH_BUDGETS = {"q": "search", "term": "suggest", "s": "suggest"}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

View = Callable[..., HttpResponse]


class PortalAdminSite(UnfoldAdminSite):
    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """Charge the budgets of staff before each page of the admin."""

        @wraps(view)
        def charged(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                _charge(request)
            except TooManyRequests as exc:
                return _refusal(request, exc)
            return view(request, *args, **kwargs)

        protected: View = super().admin_view(charged, cacheable)
        return protected

    @login_not_required
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send anonymous users to the sign-in page, others without access to "not found"."""
        if request.user.is_authenticated:
            raise Http404
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Add the brand: name, icon, colours, and the languages offered."""
        context: dict[str, Any] = super().each_context(request)
        brand = current()
        context["site_title"] = context["site_header"] = brand.name
        context["languages_list"] = [get_language_info(code) for code, _name in brand.languages]
        if brand.icon:
            context["site_icon"] = brand.icon.url
            context["site_favicons"] = [Favicon(href=brand.icon.url, rel="icon", type="image/png")]
        if brand.admin_palette:
            context["colors"] = {**context["colors"], "primary": brand.admin_palette}
        return context

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Remove empty badges, which the theme would still draw."""
        groups: list[dict[str, Any]] = super().get_sidebar_list(request)
        for entry in (entry for group in groups for entry in group["items"] if "badge_callback" in entry):
            if not str(entry["badge_callback"]):
                del entry["badge"]
        return groups

    def _search_apps(self, app_list: list[dict[str, Any]], search_term: str) -> list[dict[str, str]]:
        """Return the pages found as JSON, which is all that the cache stores."""
        found = super()._search_apps(app_list, search_term)
        return [{name: str(value) for name, value in asdict(page).items()} for page in found]

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Redirect to the portal's password page, which records changes and sends mail."""
        return redirect("account_change_password")


def _charge(request: HttpRequest) -> None:
    """Charge a request once, although the theme nests views. Raises TooManyRequests."""
    if vars(request).setdefault("is_charged", False):
        return
    vars(request)["is_charged"] = True
    names = [budget for parameter, budget in SEARCH_BUDGETS.items() if request.GET.get(parameter)]
    if request.method not in SAFE_METHODS and not _is_logout(request):
        names.append("staff_action")
    for name in names:
        budgets.spend_sync(name, person=request.user.pk, address=client_address.of(request))


def _refusal(request: HttpRequest, refusal: TooManyRequests) -> HttpResponse:
    """Return the refusal page, or a message on the present page for dialogs, whose script cannot show another."""
    response = refusals.refusal_response(request, refusal)
    if request.headers.get("HX-Request") and request.method not in SAFE_METHODS:
        messages.error(request, refusals.full_message(refusal.wait_seconds))
        response["HX-Refresh"] = "true"
    return response


def _is_logout(request: HttpRequest) -> bool:
    return request.resolver_match is not None and request.resolver_match.url_name == "logout"
