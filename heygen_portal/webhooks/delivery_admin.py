"""The log of deliveries in the admin: what was sent, what the receiver answered, and sending again."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display

from heygen_portal.console.lists import UncountedList
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import ReadOnly, confirm_dialog, object_or_404, redirect_to_change_page
from heygen_portal.models import WebhookDelivery
from heygen_portal.permissions import Permission
from heygen_portal.webhooks import changes, delivery
from heygen_portal.webhooks.admin import MAX_RESENT, PAUSED, may_send
from heygen_portal.webhooks.changes import WebhookPaused
from heygen_portal.webhooks.delivery import DamagedMessage

State = WebhookDelivery.State


def _shown(at: datetime | None) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT") if at else "–"


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnly, UncountedList, ModelAdmin):
    """Deliveries, the newest first."""

    list_display = (
        "at", "event", "webhook", "state_badge", "answer_text", "attempts", "took_text", "next_at",
    )  # fmt: skip
    list_filter = (("webhook", RelatedDropdownFilter), ("state", ChoicesDropdownFilter))
    list_filter_submit = True
    list_select_related = ("webhook", "message")
    list_per_page = 50
    ordering = ("-pk",)
    fields = (
        "webhook", "event", "at", "wire_id", "session", "state_text", "attempts", "attempted_at", "due_at",
        "answer_text", "took_text", "finished_at", "payload",
    )  # fmt: skip
    readonly_fields = ("event", "at", "wire_id", "session", "state_text", "answer_text", "took_text", "payload")
    actions = ("resend",)
    actions_detail = ("resend_one",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(Permission.VIEW_WEBHOOK)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_resend_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(Permission.CHANGE_WEBHOOK)

    @display(description=_("time"), ordering="pk")
    def at(self, row: WebhookDelivery) -> str:
        return _shown(row.message.at)

    @display(description=_("next attempt"))
    def next_at(self, row: WebhookDelivery) -> str:
        return _shown(row.due_at)

    @display(description=_("event"))
    def event(self, row: WebhookDelivery) -> str:
        return format_html("<code>{}</code>", row.message.event)

    @display(description=_("message ID"))
    def wire_id(self, row: WebhookDelivery) -> str:
        return format_html("<code>{}</code>", delivery.wire_id(row.message))

    @display(description=_("status"), label={"waiting": "info", "delivered": "success", "given_up": "danger"})
    def state_badge(self, row: WebhookDelivery) -> tuple[str, str]:
        if row.state == State.WAITING and row.outcome:
            return "given_up", gettext("failed, will be tried again")
        if row.state == State.WAITING and row.due_at is None:
            return "waiting", gettext("waits for an earlier message of the session")
        return str(row.state), row.get_state_display()

    @display(description=_("status"))
    def state_text(self, row: WebhookDelivery) -> str:
        return self.state_badge(row)[1]

    @display(description=_("session"))
    def session(self, row: WebhookDelivery) -> str:
        return str(row.session_id or "–")

    @display(description=_("answer"))
    def answer_text(self, row: WebhookDelivery) -> str:
        found = [row.get_outcome_display(), str(row.http_status or ""), f"“{row.answer}”" if row.answer else ""]
        return " · ".join(filter(None, found)) or "–"

    @display(description=_("took"))
    def took_text(self, row: WebhookDelivery) -> str:
        return f"{number_format(row.took.total_seconds(), 1)} s" if row.took is not None else "–"

    @display(description=_("content"))
    def payload(self, row: WebhookDelivery) -> str:
        """Show what is sent, without speech, which is only added while it is sent."""
        try:
            content = json.loads(delivery.body_of(row.message, {}))
        except DamagedMessage:
            return gettext("The stored data of this message are damaged.")
        return format_html("<pre>{}</pre>", json.dumps(content, indent=2, ensure_ascii=False))

    @admin.action(description=_("Send again"), permissions=["resend"])
    def resend(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        rows = list(queryset.select_related("webhook")[: MAX_RESENT + 1])
        if len(rows) > MAX_RESENT:
            words = gettext("Choose at most %(count)d deliveries at once.") % {"count": MAX_RESENT}
            self.message_user(request, words, messages.ERROR)
            return
        enabled = [row for row in rows if row.webhook.is_enabled]
        if enabled and may_send(self, request, len(enabled)):
            for row in reversed(enabled):
                changes.resend(row)
            words = ngettext("%(count)d message is sent again.", "%(count)d messages are sent again.", len(enabled))
            self.message_user(request, words % {"count": len(enabled)}, messages.SUCCESS)
        if len(enabled) < len(rows):
            self.message_user(request, PAUSED, messages.WARNING)

    @action(
        description=_("Send again"),
        permissions=["resend"],
        dialog=confirm_dialog(
            _("Send this message again? It has the same ID, so the receiver can tell that it comes twice."),
            _("Send again"),
        ),
    )
    def resend_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        row: WebhookDelivery = object_or_404(self, request, object_id)
        if not may_send(self, request):
            return redirect_to_change_page(WebhookDelivery, object_id)
        try:
            again = changes.resend(row)
        except WebhookPaused:
            self.message_user(request, PAUSED, messages.WARNING)
            return redirect_to_change_page(WebhookDelivery, object_id)
        return redirect_to_change_page(WebhookDelivery, str(again.pk))
