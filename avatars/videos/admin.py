"""Recorded videos in the admin: ordered once, then read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import action, display

from avatars.models import Video
from avatars.videos import orders
from avatars.videos.forms import VideoForm
from heygen_portal.console.durations import readable_duration
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import NoDelete, confirm_dialog, object_or_404, redirect_to_change_page
from heygen_portal.trail.change_log import Actor

ORDER_FIELDS = ("title", "text", "avatar", "voice")
STATE_FIELDS = (
    "state",
    "why",
    "watch",
    "length",
    "credits",
    "at_the_provider",
    "orders",
    "created_by",
    "created_at",
    "ready_at",
)
LABELS = {
    Video.Status.READY.label: "success",
    Video.Status.FAILED.label: "danger",
    Video.Status.UNKNOWN.label: "danger",
}


@admin.register(Video)
class VideoAdmin(NoDelete, ModelAdmin):
    form = VideoForm
    list_display = ("title", "avatar", "state", "length", "watch", "created_by", "created_at")
    list_filter = ("status", ("avatar", RelatedDropdownFilter))
    list_select_related = ("avatar", "created_by")
    search_fields = ("title__folded", "text__folded", "=provider_video_id")
    autocomplete_fields = ("avatar", "voice")
    readonly_fields = STATE_FIELDS
    actions_detail = ("order_again", "check_again")

    def get_fieldsets(self, request: HttpRequest, obj: Video | None = None) -> Any:
        if obj is None:
            words = _("The video is ordered when you save. The provider charges for its length.")
            return ((None, {"fields": ("title", "text", "script", "avatar", "voice"), "description": words}),)
        return ((None, {"fields": STATE_FIELDS}), (_("Order details"), {"fields": ORDER_FIELDS}))

    def has_change_permission(self, request: HttpRequest, obj: Video | None = None) -> bool:
        """Return False, because an ordered video has been paid for."""
        return False

    def has_order_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request)

    def save_model(self, request: HttpRequest, obj: Video, form: VideoForm, change: bool) -> None:
        assert isinstance(request.user, User)  # the admin requires a login
        obj.created_by = request.user
        orders.order(obj, Actor.of(request))

    @display(description=_("status"), ordering="status", label=LABELS)
    def state(self, video: Video) -> str:
        return video.get_status_display()

    @display(description=_("why"))
    def why(self, video: Video) -> str:
        words = video.get_failure_display()
        return f"{words} ({video.failure_detail})" if video.failure_detail else words or "–"

    @display(description=_("duration"), ordering="duration")
    def length(self, video: Video) -> str:
        return readable_duration(video.duration)

    @display(description=_("video"))
    def watch(self, video: Video) -> str:
        return format_html('<a href="{}">{}</a>', video.get_absolute_url(), gettext("Watch"))

    @display(description=_("at the provider"))
    def at_the_provider(self, video: Video) -> str:
        if not video.url:
            return video.provider_video_id or "–"
        link = '<a href="{}" rel="noreferrer noopener" target="_blank">{}</a>'
        return format_html(link, video.url, video.provider_video_id)

    @action(
        description=_("Order again"),
        permissions=["order"],
        dialog=confirm_dialog(
            _("Order this video again? It is charged again unless it is in the provider’s list."), _("Order")
        ),
    )
    def order_again(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        video = object_or_404(self, request, object_id)
        refusal = gettext("%(video)s is in progress or ready, so it was not ordered again.")
        return self._done(
            request,
            video,
            orders.order_again(video, Actor.of(request)),
            gettext("%(video)s has been ordered again."),
            refusal,
        )

    @action(
        description=_("Check again"),
        permissions=["order"],
        dialog=confirm_dialog(
            _("Ask the provider for the status of this video? It is free of charge."), _("Check again")
        ),
    )
    def check_again(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        video = object_or_404(self, request, object_id)
        refusal = gettext("%(video)s is already being checked, or was never ordered.")
        return self._done(
            request,
            video,
            orders.check_again(video, Actor.of(request)),
            gettext("Asking the provider for the status of %(video)s."),
            refusal,
        )

    def _done(self, request: HttpRequest, video: Video, is_done: bool, confirmation: str, refusal: str) -> HttpResponse:
        words = (confirmation if is_done else refusal) % {"video": video}
        self.message_user(request, words, messages.SUCCESS if is_done else messages.WARNING)
        if is_done:
            self.log_change(request, video, words)
        return redirect_to_change_page(Video, str(video.pk))
