"""A user's admin page with this month's usage, quota and personal data."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from heygen_portal.console.durations import readable_duration
from heygen_portal.console.widgets import object_or_404
from heygen_portal.people import closing
from heygen_portal.people.access import roles
from heygen_portal.people.admin import UserAdmin
from heygen_portal.people.preferences import time_zones
from heygen_portal.permissions import Permission
from sessions.capacity import quotas
from sessions.models import Quota
from sessions.personal_data import views as personal_data_views


@admin.register(User)
class PersonAdmin(UserAdmin):
    actions_detail: tuple[str, ...] = (*UserAdmin.actions_detail, "personal_data", "close_account")

    def has_personal_data_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Require the permissions to export and to read transcripts.

        Personal data contains both.
        """
        return request.user.has_perms((roles.EXPORT_SESSION, *roles.READ_TRANSCRIPTS, Permission.CHANGE_USER))

    @action(description=_("Personal data"), url_path="personal-data", permissions=["view", "personal_data"])
    def personal_data(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return personal_data_views.on_behalf(request, object_or_404(self, request, object_id))

    def has_close_account_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Require the permissions to erase speech and to change this user.

        A form that is sent twice leads to the closed account, which offers no button.
        """
        user = self.get_object(request, object_id) if object_id else None
        is_offered = request.method == "POST" or not (user and closing.is_closed(user))
        return request.user.has_perms(roles.ERASE_SPEECH) and self.may_manage(request, user) and is_offered

    @action(description=_("Close account"), url_path="close-account", permissions=["view", "close_account"])
    def close_account(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return personal_data_views.close_on_behalf(request, object_or_404(self, request, object_id))

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), "used", "quota_row")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        base = super().get_fieldsets(request, obj)
        return [*base, (_("Usage"), {"fields": ("used", "quota_row")})] if obj else base

    @display(description=_("this month"))
    def used(self, user: User) -> str:
        used, quota = quotas.used_by(user.pk, timezone.now()), quotas.monthly_quota(user.pk)
        if quota is None:
            return gettext("%(used)s; no quota") % {"used": readable_duration(used)}
        words = gettext("%(used)s of %(given)s; months are counted in %(zone)s")
        return words % {
            "used": readable_duration(used),
            "given": readable_duration(quota),
            "zone": time_zones.portal_label(),
        }

    @display(description=_("quota"))
    def quota_row(self, user: User) -> str:
        own = Quota.objects.filter(user=user).first()
        if own:
            url, words = reverse("admin:avatar_sessions_quota_change", args=[own.pk]), gettext("Change")
        else:
            url = f"{reverse('admin:avatar_sessions_quota_add')}?user={user.pk}"
            words = gettext("Set an individual quota")
        return format_html('<a href="{}">{}</a>', url, words)
