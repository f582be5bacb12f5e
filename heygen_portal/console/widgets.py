"""What the admin's pages share: evidence that nobody edits, rows that nobody deletes."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse


class NoDelete:
    """Refuses delete: deleting is never the way something ends."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnly(NoDelete):
    """Refuses add, change and delete: history is evidence, and the catalogue is the provider's."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def confirm_dialog(question: Any, answer: Any) -> dict[str, Any]:
    """A dialog before an action on one page: the theme's plain actions are links, and a link changes nothing."""
    return {"title": question, "description": "", "form_class": None, "form_submit_text": answer}


def object_or_404(model_admin: Any, request: HttpRequest, object_id: str) -> Any:
    """The row an action on one page is about; not found when the address was made up."""
    if row := model_admin.get_object(request, object_id):
        return row
    raise Http404


def redirect_to_change_page(model: type[Model], object_id: str) -> HttpResponse:
    """Where an action on one page leads: back to it. The dialog's request is the theme's script's, hence the header."""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    return HttpResponse(headers={"HX-Redirect": reverse(name, args=[object_id])})
