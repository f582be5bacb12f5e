"""Mixins and helpers shared by the admin's pages."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse


class NoDelete:
    """Forbids delete."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnly(NoDelete):
    """Forbids add, change and delete, for history and for data owned by the provider."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def confirm_dialog(question: Any, answer: Any) -> dict[str, Any]:
    """Return the theme's settings for a confirmation dialog.

    Without one, an action would be a plain link (GET).
    """
    return {"title": question, "description": "", "form_class": None, "form_submit_text": answer}


def object_or_404(model_admin: Any, request: HttpRequest, object_id: str) -> Any:
    """Return the row that a detail action is about, if the user may see it.

    Raises Http404.
    """
    if row := model_admin.get_object(request, object_id):
        return row
    raise Http404


def redirect_to_change_page(model: type[Model], object_id: str) -> HttpResponse:
    """Redirect to a row's change page, with the header that dialogs follow."""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    return HttpResponse(headers={"HX-Redirect": reverse(name, args=[object_id])})
