"""Tools in the admin. Their secrets are never shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from avatars.models import HttpTool
from avatars.tools import try_page, versions
from avatars.tools.forms import ToolForm
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import NoDelete, object_or_404
from heygen_portal.people.access import sudo
from heygen_portal.trail.change_log import Actor


@admin.register(HttpTool)
class HttpToolAdmin(sudo.SudoToSave, NoDelete, ModelAdmin):
    empty_words = _("A tool lets the organisation’s own model ask one of your systems, such as for an order’s state.")
    form = ToolForm
    list_display = ("name", "method", "url", "is_read_only", "is_active", "version")
    search_fields = ("name", "description__folded", "url")
    fieldsets = (
        (None, {"fields": ("name", "description", "is_active", "is_read_only", "arguments")}),
        (
            _("Request"),
            {"fields": ("method", "url", "body", "headers", "secret_headers", "removes_secrets")},
        ),
        (_("Limits"), {"fields": ("timeout", "max_answer_bytes")}),
    )
    actions_detail = ("try_it",)

    def get_fieldsets(self, request: HttpRequest, obj: HttpTool | None = None) -> Any:
        """Offer to remove secrets only where some are stored."""
        found = super().get_fieldsets(request, obj)
        if obj and obj.secret_headers and self.has_change_permission(request, obj):
            return found
        return [
            (title, {**shown, "fields": [name for name in shown["fields"] if name != "removes_secrets"]})
            for title, shown in found
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: HttpTool | None = None) -> tuple[str, ...]:
        return ("name",) if obj else ()

    @action(description=_("Try it"), url_path="try", permissions=["change"])
    def try_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tool: HttpTool = object_or_404(self, request, object_id)
        return try_page.page(request, tool)

    def save_model(self, request: HttpRequest, obj: HttpTool, form: ToolForm, change: bool) -> None:
        versions.save(obj, Actor.of(request))
