"""Costs in the admin: the ledger, its sums, and the providers' figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import formats, timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from heygen_portal.console.durations import readable_duration
from heygen_portal.console.lists import UncountedList
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import ReadOnly
from sessions.costs import report as cost_report
from sessions.models import SessionTotal


@admin.register(SessionTotal)
class SessionTotalAdmin(UncountedList, ReadOnly, ModelAdmin):
    """The ledger, with one row for each ended session."""

    list_display = (
        "day",
        "username",
        "account",
        "persona",
        "open_time",
        "estimated",
        "model_credits",
        "provider_credits",
        "cost_difference",
        "unattended_time",
    )
    list_filter = (("account", RelatedDropdownFilter), ("persona", RelatedDropdownFilter))
    list_filter_submit = True
    list_select_related = ("session__user", "account", "persona")
    fields = (
        "session",
        "day",
        "account",
        "persona",
        "open_time",
        "estimated",
        "model_tokens",
        "model_credits",
        "provider_open_time",
        "provider_credits",
        "cost_difference",
    )
    readonly_fields = ("open_time", "provider_open_time", "cost_difference")

    @display(description=_("user"))
    def username(self, total: SessionTotal) -> str:
        return total.session.owner_name

    @display(description=_("open"), ordering="time")
    def open_time(self, total: SessionTotal) -> str:
        return readable_duration(total.time)

    @display(description=_("duration according to the provider"))
    def provider_open_time(self, total: SessionTotal) -> str:
        return readable_duration(total.provider_time)

    @display(description=_("difference"))
    def cost_difference(self, total: SessionTotal) -> str:
        return "–" if total.difference is None else formats.number_format(total.difference, 4)

    @display(description=_("unattended time"), ordering="wasted")
    def unattended_time(self, total: SessionTotal) -> str:
        return readable_duration(total.wasted) if total.wasted else "–"

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Callable[..., HttpResponse]) -> Any:
            return path(f"{route}/", self.admin_site.admin_view(view), name=f"avatar_sessions_sessiontotal_{route}")

        return [
            page("costs", self.month_report),
            page("reconciliation", self.reconciliation_report),
            *super().get_urls(),
        ]

    def month_report(self, request: HttpRequest) -> HttpResponse:
        return self._render_report(request, "sessions/costs.html", cost_report.report)

    def reconciliation_report(self, request: HttpRequest) -> HttpResponse:
        return self._render_report(request, "sessions/reconciliation.html", cost_report.reconciliation)

    def _render_report(
        self, request: HttpRequest, template: str, report: Callable[[cost_report.Month], object]
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        month = cost_report.Month.parse(request.GET.get("month", ""), now)
        found = report(month)
        context = {"month": month, "report": found, "is_past": month.is_before(now)}
        if isinstance(found, cost_report.Report):
            context["chart"] = _chart(found)
        return render(request, template, context)


def _chart(report: cost_report.Report) -> dict[str, Any]:
    """Return the data of the page's chart: used and wasted credits for each day."""
    return {
        "days": [day.name[-2:] for day in report.days],
        "credits": [float(day.credits - day.wasted_credits) for day in report.days],
        "wasted": [float(day.wasted_credits) for day in report.days],
        "words": {"credits": gettext("Credits"), "wasted": gettext("Unattended time")},
    }
