"""Limits in the admin: the queue, and the quotas of users and groups."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from heygen_portal.console.durations import readable_duration
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import ReadOnly
from heygen_portal.people.preferences import time_zones
from heygen_portal.permissions import Permission
from heygen_portal.trail.change_log import Actor
from sessions.capacity import queue, quotas
from sessions.models import QueueEntry, Quota


@admin.register(QueueEntry)
class QueueEntryAdmin(ReadOnly, ModelAdmin):
    """The queue. Staff can remove users from it."""

    list_display = ("created_at", "owner", "persona", "account", "is_staff", "state")
    list_filter = (("account", RelatedDropdownFilter),)
    list_filter_submit = True
    list_select_related = ("user", "persona", "account")
    search_fields = ("user__username__folded",)
    fields = ("owner", "persona", "account", "created_at", "is_staff", "offer_expires_at")
    actions = ("remove",)

    @display(description=_("user"), ordering="user")
    def owner(self, entry: QueueEntry) -> str:
        return entry.owner_name

    @display(description=_("status"), label={_("slot reserved"): "success", _("waiting"): "info"})
    def state(self, entry: QueueEntry) -> str:
        return gettext("slot reserved") if entry.offer_expires_at else gettext("waiting")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(Permission.VIEW_QUEUE)

    def has_stop_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(Permission.STOP_SESSION)

    @admin.action(description=_("Remove from the queue"), permissions=["stop"])
    def remove(self, request: HttpRequest, queryset: QuerySet[QueueEntry]) -> None:
        entries = list(queryset)
        for entry in entries:
            queue.remove(entry)
        words = ngettext(
            "%(count)d user was removed from the queue.", "%(count)d users were removed from the queue.", len(entries)
        )
        self.message_user(request, words % {"count": len(entries)})


@admin.register(Quota)
class QuotaAdmin(ModelAdmin):
    """Quotas of a user or of each member of a group. The lowest limit applies."""

    list_display = ("__str__", "is_group", "max_duration", "max_idle", "minutes_per_month")
    list_before_template = "admin/months.html"
    list_select_related = ("user", "group")
    search_fields = ("user__username__folded", "group__name__folded")
    autocomplete_fields = ("user",)
    fields = ("user", "group", "duration_limit", "idle_timeout", "minutes_per_month", "used")
    readonly_fields = ("used",)

    # The stored permissions do not have the model's name.

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(Permission.VIEW_QUOTA) or self.has_change_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(Permission.ADD_QUOTA)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(Permission.CHANGE_QUOTA)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(Permission.DELETE_QUOTA)

    def save_model(self, request: HttpRequest, obj: Quota, form: Any, change: bool) -> None:
        before = Quota.objects.select_for_update().filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        self._record_change(request, before, obj)

    def delete_model(self, request: HttpRequest, obj: Quota) -> None:
        with transaction.atomic():
            self._record_change(request, obj, None)
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Quota]) -> None:
        with transaction.atomic():
            for quota in queryset.select_for_update(of=("self",)):
                self.delete_model(request, quota)

    def _record_change(self, request: HttpRequest, before: Quota | None, after: Quota | None) -> None:
        quotas.record_change(Actor.of(request), before, after)

    @display(description=_("group"), boolean=True)
    def is_group(self, quota: Quota) -> bool:
        return quota.group_id is not None

    @display(description=_("maximum session length"), ordering="duration_limit")
    def max_duration(self, quota: Quota) -> str:
        return readable_duration(quota.duration_limit)

    @display(description=_("idle limit"), ordering="idle_timeout")
    def max_idle(self, quota: Quota) -> str:
        return readable_duration(quota.idle_timeout)

    @display(description=_("used this month"))
    def used(self, quota: Quota) -> str:
        if not quota.user_id:
            return readable_duration(None)
        words = gettext("%(used)s; months are counted in %(zone)s")
        used = readable_duration(quotas.used_by(quota.user_id, timezone.now()))
        return words % {"used": used, "zone": time_zones.portal_label()}
