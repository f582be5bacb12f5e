"""Messages to the team in the admin: read, and marked as handled."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import linebreaksbr
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import ReadOnly, confirm_dialog, object_or_404, redirect_to_change_page
from heygen_portal.permissions import Permission
from sessions.brain.tools import tool_events
from sessions.models import StaffMessage


@admin.register(StaffMessage)
class StaffMessageAdmin(ReadOnly, ModelAdmin):
    """What users wrote in the form of the conversation page. It is encrypted, and erased with the conversation."""

    empty_words = _("Messages that users leave for the team appear here.")
    list_display = ("left_at", "persona", "state", "handled_by")
    list_filter = (("handled_at", admin.EmptyFieldListFilter),)
    list_select_related = ("event__session__persona", "handled_by")
    date_hierarchy = "left_at"
    fields = ("left_at", "persona", "contact", "message", "conversation", "state", "handled_at", "handled_by")
    readonly_fields = ("persona", "contact", "message", "conversation", "state")
    actions_detail = ("change_state",)

    def has_handle_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(Permission.CHANGE_MESSAGE)

    def get_queryset(self, request: HttpRequest) -> QuerySet[StaffMessage]:
        rows: QuerySet[StaffMessage] = super().get_queryset(request)
        return rows.select_related("event__session__persona", "handled_by")

    @display(description=_("persona"), ordering="event__session__persona")
    def persona(self, row: StaffMessage) -> str:
        return str(row.event.session.persona)

    @display(
        description=_("status"),
        ordering="handled_at",
        label={pgettext_lazy("message", "handled"): "success", pgettext_lazy("message", "new"): "warning"},
    )
    def state(self, row: StaffMessage) -> str:
        return pgettext("message", "handled") if row.handled_at else pgettext("message", "new")

    @display(description=_("E-mail address"))
    def contact(self, row: StaffMessage) -> str:
        return tool_events.message_of(row.event).get("contact") or gettext("erased")

    @display(description=_("message"))
    def message(self, row: StaffMessage) -> SafeString:
        return linebreaksbr(tool_events.message_of(row.event).get("text") or gettext("erased"))

    @display(description=_("session"))
    def conversation(self, row: StaffMessage) -> SafeString:
        session = row.event.session
        address = reverse("admin:avatar_sessions_streamingsession_change", args=[session.pk])
        style = "text-primary-600 dark:text-primary-500 underline"
        return format_html('<a class="{}" href="{}">{}</a>', style, address, session)

    @action(
        description=_("Mark as handled or new"),
        url_path="state",
        permissions=["handle"],
        dialog=confirm_dialog(_("Change whether this message is handled?"), _("Change")),
    )
    def change_state(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        row: StaffMessage = object_or_404(self, request, object_id)
        is_new = row.handled_at is None
        row.handled_at, row.handled_by_id = (timezone.now(), request.user.pk) if is_new else (None, None)
        row.save(update_fields=["handled_at", "handled_by"])
        self.log_change(request, row, gettext("The message is handled.") if is_new else gettext("The message is new."))
        return redirect_to_change_page(StaffMessage, str(row.pk))


def badge(request: HttpRequest) -> str:
    """Return the menu entry's badge: the number of new messages."""
    return str(StaffMessage.objects.filter(handled_at=None).count() or "")
