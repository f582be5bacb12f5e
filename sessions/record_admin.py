"""The admin's page of the checks of the record, and the menu's sign when the last one found something."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from heygen_portal.admin_parts import ReadOnly, readable
from sessions.models import HistoryCheck
from sessions.verification import Fault


@admin.register(HistoryCheck)
class HistoryCheckAdmin(ReadOnly, ModelAdmin):
    """What each night's look through the record came to."""

    list_display = ("started_at", "state", "sessions", "events", "anchors", "took")
    fields = ("started_at", "state", "sessions", "events", "anchors", "took", "misfits")
    readonly_fields = ("state", "took", "misfits")

    @display(description=_("result"), label={_("whole"): "success", _("does not fit"): "danger"})
    def state(self, check: HistoryCheck) -> str:
        return gettext("does not fit") if check.fault_count else gettext("whole")

    @display(description=_("took"))
    def took(self, check: HistoryCheck) -> str:
        return readable(check.ended_at - check.started_at if check.ended_at else None)

    @display(description=_("what does not fit"))
    def misfits(self, check: HistoryCheck) -> Any:
        lines = [(Fault(**fault).in_words(),) for fault in check.faults]
        return format_html_join("", "<p>{}</p>", lines) or "–"


def badge(request: HttpRequest) -> str:
    """A sign at the menu's entry while the last check found what does not fit."""
    last = HistoryCheck.objects.first()
    return "!" if last and last.fault_count else ""
