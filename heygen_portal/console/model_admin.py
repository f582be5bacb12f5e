"""Base of the portal's admin pages."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin as ThemeModelAdmin


class ModelAdmin(ThemeModelAdmin):
    """Shows the admin's history of a row only to users who may change it.

    Nothing proves that history. Auditors read the audit log, which is hash-chained.
    """

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_change_permission(request, self.get_object(request, object_id)):
            raise PermissionDenied
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        return response

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context["show_history"] = self.has_change_permission(request, obj)
        response: HttpResponse = super().render_change_form(request, context, add, change, form_url, obj)
        return response
