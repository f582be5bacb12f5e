"""An account's admin page with its spending, slots in use and queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils import formats, timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from avatars.accounts.admin import ProviderAccountAdmin
from avatars.models import ProviderAccount
from heygen_portal.people.preferences import time_zones
from heygen_portal.permissions import Permission
from sessions.capacity import queue, quotas
from sessions.capacity.quotas import SpendingUnknown
from sessions.models import QueueEntry, StreamingSession
from sessions.onboarding import page as onboarding_page

NEW_LINE = mark_safe("<br>")


@admin.register(ProviderAccount)
class AccountAdmin(ProviderAccountAdmin):
    """Account admin with spending, slots and queue.

    Sessions and the queue are only shown with permission to view them.
    """

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*super().get_readonly_fields(request, obj), "spending", "slots_in_use", "queue_entries")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        base = super().get_fieldsets(request, obj)
        if obj is None:
            return base
        now_fields = ["spending"]
        now_fields += ["slots_in_use"] if request.user.has_perm(Permission.VIEW_SESSION) else []
        now_fields += ["queue_entries"] if request.user.has_perm(Permission.VIEW_QUEUE) else []
        return [(_("Now"), {"fields": now_fields}), *base]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.setup_checklist)
        return [path("setup-checklist/", view, name="avatars_provideraccount_setup_checklist"), *super().get_urls()]

    def setup_checklist(self, request: HttpRequest) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        return onboarding_page.page(request)

    @display(description=_("this month"))
    def spending(self, account: ProviderAccount) -> str:
        try:
            spending = quotas.spending(account, timezone.now())
        except SpendingUnknown:
            return gettext("It cannot be computed, because a value in the database was changed. No sessions start.")
        sentence = gettext("%(spent).2f credits spent. Running sessions may add up to %(promised).2f.")
        words = sentence % {"spent": spending.spent, "promised": spending.promised}
        months = gettext("Days and months are counted in %(zone)s.") % {"zone": time_zones.portal_label()}
        if spending.left is None:
            return f"{words} {gettext('No cap is set.')} {months}"
        left = gettext("%(left).2f of %(cap).2f left under the cap.")
        return f"{words} {left % {'cap': account.monthly_cap, 'left': spending.left}} {months}"

    @display(description=_("slots in use"))
    def slots_in_use(self, account: ProviderAccount) -> SafeString:
        rows = StreamingSession.objects.open().filter(account=account).select_related("user", "persona")
        in_use = list(rows.order_by("created_at"))
        limit = queue.slot_limit(account)
        words = gettext("%(taken)d of %(limit)d") % {"taken": len(in_use), "limit": limit}
        if limit < account.concurrency_limit and account.slots_seen_at:
            full_since = gettext("the provider had no free slot at %(at)s") % {"at": _local(account.slots_seen_at)}
            words = f"{words} ({full_since})"
        lines = [
            (_change_url(session), session.owner_name, session.persona, _since(session.created_at))
            for session in in_use
        ]
        return _joined_lines(words, format_html_join(NEW_LINE, '<a href="{}">{}</a> · {} · {}', lines))

    @display(description=_("in the queue"))
    def queue_entries(self, account: ProviderAccount) -> SafeString:
        waiting = QueueEntry.objects.filter(account=account).select_related("user", "persona")
        lines = [
            (number, row.owner_name, row.persona, _since(row.created_at)) for number, row in enumerate(waiting, start=1)
        ]
        return format_html_join(NEW_LINE, "{}. {} · {} · {}", lines) or mark_safe("–")


def _change_url(session: StreamingSession) -> str:
    return reverse("admin:avatar_sessions_streamingsession_change", args=[session.pk])


def _since(moment: datetime) -> str:
    return gettext("since %(at)s") % {"at": _local(moment)}


def _local(moment: datetime) -> str:
    return formats.date_format(timezone.localtime(moment), "DATETIME_FORMAT")


def _joined_lines(*parts: str) -> SafeString:
    return format_html_join(NEW_LINE, "{}", ((part,) for part in parts if part))
