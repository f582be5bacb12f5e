"""Provider accounts in the admin. Keys are never shown."""

from __future__ import annotations

from datetime import datetime

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import formats, timezone
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from avatars.accounts import connection_page, migration_admin, provider_history_page
from avatars.accounts.forms import ProviderAccountForm
from avatars.catalogue import sync_admin
from avatars.models import ProviderAccount
from avatars.models.stated import ACCOUNT
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import NoDelete, object_or_404
from heygen_portal.people.access import sudo
from heygen_portal.trail import audit_log, change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry


class ProviderAccountAdmin(sudo.SudoToSave, NoDelete, ModelAdmin):
    """Base of the account admin.

    `sessions.admin.accounts` registers it and adds spending and slots.
    """

    form = ProviderAccountForm
    list_display = ("name", "kind", "base_url", "concurrency_limit", "synced_at")
    readonly_fields = ("synced_at", "credits_left", "unknown_sessions_text")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    "kind",
                    "base_url",
                    "api_key",
                    "key_header",
                    "is_sandbox",
                    "synced_at",
                    "credits_left",
                )
            },
        ),
        (
            _("Slots"),
            {"fields": ("rooms", "concurrency_limit", "staff_places", "is_exclusive", "unknown_sessions_text")},
        ),
        (_("Record"), {"fields": ("monitors_chat", "nightly_check")}),
        (
            _("Limits"),
            {
                "fields": (
                    "longest_session",
                    "idle_timeout",
                    "monthly_cap",
                    "alarm_share",
                    "credits_per_minute",
                    "speech_days",
                )
            },
        ),
    )
    actions = ("sync",)
    actions_detail = ("try_connection", "catalogue", "past", "migrate")

    @display(description=_("open at the provider, not started by this portal"))
    def unknown_sessions_text(self, account: ProviderAccount) -> str:
        lines = ((row.id, row.status, _local(row.seen_at)) for row in account.sessions_of_others)
        return format_html_join(mark_safe("<br>"), gettext("{} ({}), first seen {}"), lines) or "–"

    @admin.action(description=_("Check connection and sync catalogue"), permissions=["change"])
    def sync(self, request: HttpRequest, queryset: QuerySet[ProviderAccount]) -> None:
        sync_admin.request_syncs(request, queryset)

    @action(description=_("Catalogue"), url_path="catalogue", permissions=["view"])
    def catalogue(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account: ProviderAccount = object_or_404(self, request, object_id)
        context = self.admin_site.each_context(request) | {"opts": self.opts}
        may_sync = self.has_change_permission(request, account)
        return sync_admin.page(request, account, context, may_sync=may_sync)

    @action(description=_("Check connection"), url_path="connection", permissions=["change"])
    def try_connection(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account: ProviderAccount = object_or_404(self, request, object_id)
        return connection_page.page(request, account)

    @action(description=_("Move personas to another account"), permissions=["change"])
    def migrate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account: ProviderAccount = object_or_404(self, request, object_id)
        return migration_admin.page(request, account, self.admin_site.each_context(request))

    @action(description=_("Past sessions"), permissions=["change"])
    def past(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account: ProviderAccount = object_or_404(self, request, object_id)
        return provider_history_page.page(request, account, self.admin_site.each_context(request))

    def save_model(self, request: HttpRequest, obj: ProviderAccount, form: ProviderAccountForm, change: bool) -> None:
        stored = ProviderAccount.objects.select_for_update().filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        changes = change_log.diff(stored, obj, change_log.editable_columns(ProviderAccount, exclude=["api_key"]))
        stated = statements.changed(ACCOUNT, stored, obj)
        change_log.record(Actor.of(request), AuditEntry.Kind.ACCOUNT_CHANGED, obj, changes, stated)
        if "api_key" in form.changed_data:
            audit_log.record(request, AuditEntry.Kind.KEY_SET, obj, accepted=[None, not form.is_unchecked])
        if form.is_unchecked:
            words = gettext("%(account)s: the provider did not respond, so the key could not be checked.")
            self.message_user(request, words % {"account": obj}, messages.WARNING)


def _local(moment: str) -> str:
    return formats.date_format(timezone.localtime(datetime.fromisoformat(moment)), "DATETIME_FORMAT") if moment else "–"
