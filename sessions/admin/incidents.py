"""Incidents in the admin: what failed, from when to when, and whether it was reported."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from heygen_portal.console.durations import readable_duration
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import ReadOnly
from sessions.health import incident_mail
from sessions.models import Incident


@admin.register(Incident)
class IncidentAdmin(ReadOnly, ModelAdmin):
    """Checks of the portal's work that failed for longer than INCIDENT_MINUTES."""

    empty_words = _("Checks that fail for some minutes appear here. The start page shows all checks.")
    list_display = ("first_failed_at", "check_name", "state", "duration_text", "opening_reported_at", "end_reported_at")
    list_filter = ("check_name",)
    fields = (
        "check_name", "state", "problem", "first_failed_at", "last_failed_at", "opened_at", "over_at", "duration_text",
        "opening_reported_at", "end_reported_at",
    )  # fmt: skip
    readonly_fields = ("state", "problem", "duration_text")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        rows: QuerySet[Incident] = super().get_queryset(request).exclude(opened_at=None)
        return rows

    @display(description=_("result"), label={_("over"): "success", _("failing"): "danger"})
    def state(self, incident: Incident) -> str:
        return gettext("over") if incident.over_at else gettext("failing")

    @display(description=_("duration"))
    def duration_text(self, incident: Incident) -> str:
        return readable_duration((incident.over_at or incident.last_failed_at) - incident.first_failed_at)

    @display(description=_("problem"))
    def problem(self, incident: Incident) -> str:
        return incident_mail.problem(incident)


def badge(request: HttpRequest) -> str:
    """Return the menu entry's badge: the number of open incidents."""
    return str(Incident.objects.current().shown().count() or "")
