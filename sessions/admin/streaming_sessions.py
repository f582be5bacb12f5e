"""Session history in the admin, where running sessions can be stopped."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.filters import DateFieldListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms.utils import flatatt
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminTextInputWidget

from heygen_portal.console.durations import readable_duration
from heygen_portal.console.lists import UncountedList
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import ReadOnly, confirm_dialog, object_or_404, redirect_to_change_page
from heygen_portal.people.access import roles, sudo
from heygen_portal.permissions import Permission
from heygen_portal.providers.contract.provider import ProviderError
from heygen_portal.runtime import budgets, client_address, refusals, stored_json
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.text import graphemes
from sessions import errors
from sessions.actions import staff_reasons
from sessions.actions.stop import error_for_log
from sessions.admin import exports
from sessions.admin import search as search_admin
from sessions.audit import page as audit_page
from sessions.exports import filters
from sessions.lifecycle import end_evidence
from sessions.models import (
    SessionEvent,
    SessionTask,
    Status,
    StreamingSession,
    Utterance,
)
from sessions.presence import own_rooms
from sessions.staff import provider_inquiry, stop_sessions

STATUS_COLOURS = {
    Status.LIVE.label: "success",
    Status.REQUESTED.label: "info",
    Status.CREATING.label: "info",
    Status.CONNECTING.label: "info",
    Status.STOPPING.label: "warning",
}


class History(ReadOnly, TabularInline):
    """Rows below a session. Django shows each kind only with permission to view it."""

    extra = 0
    per_page = 50  # a session may have thousands
    tab = True
    hide_title = True
    readonly_fields: tuple[str, ...] = ("moment",)

    @display(description=_("time"))
    def moment(self, row: SessionEvent | SessionTask | Utterance) -> str:
        """Return the time with milliseconds, so that auditors see the order of events."""
        at = row.created_at if isinstance(row, SessionTask) else row.at
        return timezone.localtime(at).isoformat(" ", "milliseconds")[:-6]

    @display(description=_("characters"))
    def character_count(self, row: SessionTask | Utterance) -> int | str:
        """Return the number of characters.

        Reading the text needs a reason, on the session's own page.
        """
        return graphemes.count(row.text) if row.is_readable else row.shown


class SessionEventInline(History):
    model = SessionEvent
    fields = ("number", "moment", "source", "kind", "data")


class SessionTaskInline(History):
    model = SessionTask
    verbose_name_plural = _("Texts for the avatar")
    fields = ("moment", "kind", "character_count", "sent_by", "status", "failure", "latency_text")
    readonly_fields = ("moment", "character_count", "latency_text")

    @display(description=_("latency"))
    def latency_text(self, task: SessionTask) -> str:
        return readable_duration(task.latency)


class UtteranceInline(History):
    model = Utterance
    fields = ("moment", "who", "by", "character_count", "is_interrupted", "source")
    readonly_fields = ("moment", "character_count")


class OwnerFilter(DropdownFilter):
    """Whether guests or people with an account talked."""

    title = _("user")
    parameter_name = filters.OWNER

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("guests", _("Guests")), ("users", _("People with an account"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(filters.OWNERS[value]) if (value := self.value()) in filters.OWNERS else queryset


class StopForm(ActionForm):
    """Form of the stop action, whose reason is recorded."""

    reason = forms.CharField(
        label="",
        required=False,  # the action itself reports a missing reason
        widget=UnfoldAdminTextInputWidget({"placeholder": _("Reason"), "aria-label": _("Reason")}),
    )


@admin.register(StreamingSession)
class StreamingSessionAdmin(UncountedList, ReadOnly, ModelAdmin):
    list_display = ("created_at", "owner", "persona", "purpose", "state", "end_reason", "duration_text", "account")
    list_filter = (
        ("created_at", DateFieldListFilter),  # a hierarchy of dates would walk through the whole history
        ("status", ChoicesDropdownFilter),
        ("end_reason", ChoicesDropdownFilter),
        ("purpose", ChoicesDropdownFilter),
        OwnerFilter,
        ("persona", RelatedDropdownFilter),
        ("account", RelatedDropdownFilter),
        search_admin.TranscriptSearchFilter,
    )
    list_filter_submit = True
    list_select_related = ("user", "persona", "account")
    search_fields = ("user__username__folded", "=provider_session_id", "persona__name__folded")
    search_help_text = _("User name, persona or provider’s session ID.")
    list_before_template = "admin/sessions_export_link.html"
    inlines = (SessionEventInline, SessionTaskInline, UtteranceInline)
    action_form = StopForm
    actions = ("stop",)
    actions_detail = ("audit", "ask_provider", "observe", "export")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "session_id",
                    "owner",
                    "persona",
                    "persona_version",
                    "purpose",
                    "state",
                    "end_reason",
                    "evidence",
                )
            },
        ),
        (
            _("Times"),
            {
                "fields": (
                    "created_at",
                    "opened_at",
                    "live_at",
                    "duration_text",
                    "active_at",
                    "ends_at",
                    "stop_requested_at",
                    "ended_at",
                    "deadline_at",
                )
            },
        ),
        (_("Limits"), {"fields": ("duration_limit", "idle_limit", "conversation", "conversation_limit", "continues")}),
        (
            _("At the provider"),
            {
                "fields": (
                    "account",
                    "provider_session_id",
                    "provider_limit",
                    "is_paid",
                    "stop_attempts",
                    "stop_trouble_text",
                )
            },
        ),
        (_("Settings at the time"), {"fields": ("persona_settings",), "classes": ("collapse",)}),
    )
    readonly_fields = (
        "owner",
        "state",
        "evidence",
        "duration_text",
        "session_id",
        "duration_limit",
        "idle_limit",
        "provider_limit",
        "stop_trouble_text",
        "conversation_limit",
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[StreamingSession], search_term: str
    ) -> tuple[QuerySet[StreamingSession], bool]:
        """Search by names and IDs.

        Transcripts are searched on a separate page that asks for a reason.
        """
        return filters.matching(queryset, search_term) if search_term else queryset, False

    @display(description=_("user"), ordering="user")
    def owner(self, session: StreamingSession) -> str:
        """Return the user or guest."""
        return session.owner_name

    @display(description=_("status"), ordering="status", label=STATUS_COLOURS)
    def state(self, session: StreamingSession) -> str:
        return session.get_status_display()

    @display(description=_("evidence"))
    def evidence(self, session: StreamingSession) -> str:
        return end_evidence.describe(session.end_evidence)

    @display(description=_("duration"))
    def duration_text(self, session: StreamingSession) -> str:
        return readable_duration(session.duration)

    @display(description=_("ID"))
    def session_id(self, session: StreamingSession) -> str:
        return str(session.pk)

    @display(description=_("effective duration limit"))
    def duration_limit(self, session: StreamingSession) -> str:
        return f"{readable_duration(session.ends_at - session.created_at)} · {session.get_limit_by_display()}"

    @display(description=_("effective idle limit"))
    def idle_limit(self, session: StreamingSession) -> str:
        settings = session.readable_settings
        limit = readable_duration(settings.idle_timeout) if settings else stored_json.label(session.persona_settings)
        return f"{limit} · {session.get_idle_limit_by_display()}"

    @display(description=_("provider’s limit"))
    def provider_limit(self, session: StreamingSession) -> str:
        return readable_duration(session.provider_duration_limit)

    @display(description=_("time limit of the conversation"))
    def conversation_limit(self, session: StreamingSession) -> str:
        return readable_duration(session.conversation.time_limit)

    @display(description=_("not confirmed because"))
    def stop_trouble_text(self, session: StreamingSession) -> str:
        return end_evidence.describe(session.stop_trouble)

    def has_audit_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(Permission.VIEW_EVENT)

    @action(description=_("Session timeline"), url_path="audit", permissions=["view", "audit"])
    def audit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return audit_page.page(request, object_or_404(self, request, object_id))

    @action(
        description=_("Check at the provider"),
        permissions=["view"],
        dialog=confirm_dialog(_("Ask the provider which sessions are open?"), _("Check")),
    )
    def ask_provider(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        session = object_or_404(self, request, object_id)
        try:
            budgets.spend_sync("provider_lookup", person=request.user.pk, account=session.account_id)
            row = async_to_sync(provider_inquiry.find_at_provider)(session.account, session.provider_session_id)
        except TooManyRequests as exc:  # the dialog's script cannot show an error page
            self.message_user(request, refusals.full_message(exc.wait_seconds), messages.ERROR)
        except ProviderError as exc:
            words = gettext("The provider could not be reached (%(detail)s).") % {"detail": error_for_log(exc)}
            self.message_user(request, words, messages.ERROR)
        else:
            is_open = (
                gettext("The session is open at the provider (%(status)s).") % {"status": row.status} if row else ""
            )
            is_not_open = gettext("The session is not in the provider’s list, so it is not running there.")
            self.message_user(request, is_open or is_not_open, messages.SUCCESS)
        return redirect_to_change_page(StreamingSession, object_id)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Offer observing only for running sessions in our own rooms."""
        actions: list[Any] = super().get_actions_detail(request, object_id)
        session = self.get_object(request, object_id)  # None if the ID is no UUID
        if session and session.room and session.status in (Status.CONNECTING, Status.LIVE):
            return actions
        return [action for action in actions if action.path != "observe"]

    def get_urls(self) -> list[Any]:
        live = path("live/", self.admin_site.admin_view(self.live), name="avatar_sessions_streamingsession_live")
        search = path("search/", self.admin_site.admin_view(search_admin.page), name="avatar_sessions_search")
        return [live, search, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Charge the search budget for each list filtered by a transcript search.

        The search runs again on every request.
        """
        if filters.SPEECH_SEARCH in request.GET:
            budgets.spend_sync("search", person=request.user.pk, address=client_address.of(request))
        response: HttpResponse = super().changelist_view(request, *args, **kwargs)
        return response

    def live(self, request: HttpRequest) -> HttpResponse:
        """Show the live board, which gets its data through its socket."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return render(
            request,
            "sessions/board.html",
            {
                "may_stop": self.has_stop_permission(request),
                "reason_limits": flatatt(staff_reasons.field_attributes()),
            },
        )

    def has_observe_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(roles.OBSERVE_SESSION)

    @action(description=_("Observe"), url_path="observe", permissions=["observe"])
    def observe(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the observer's page. A POST returns access to the room and is recorded."""
        session = object_or_404(self, request, object_id)
        if request.method == "POST":
            budgets.spend_sync("observe", person=request.user.pk, address=client_address.of(request))
            try:
                login_key, address = request.session.session_key or "", client_address.of(request)
                room = own_rooms.admit_observer(session.pk, request.user.pk, address, login_key=login_key)
            except errors.NotLive as exc:
                return JsonResponse({"words": str(exc)}, status=409)
            return JsonResponse({"url": room.url, "token": room.token})
        context = {"title": gettext("Observe"), "session": session, "opts": self.opts}
        return render(request, "admin/sessions_observe.html", self.admin_site.each_context(request) | context)

    def has_export_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(roles.EXPORT_SESSION)

    @action(description=_("Export"), url_path="export", permissions=["export"])
    @sudo.required
    def export(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return exports.export_session(request, object_or_404(self, request, object_id))

    def has_stop_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(Permission.STOP_SESSION)

    @admin.action(description=_("Stop selected sessions"), permissions=["stop"])
    def stop(self, request: HttpRequest, queryset: QuerySet[StreamingSession]) -> None:
        try:
            reason = staff_reasons.checked(request.POST.get("reason"))
        except errors.ReasonNeeded as exc:
            self.message_user(request, str(exc), messages.ERROR)
            return
        running_ids = list(queryset.exclude(status=Status.ENDED).values_list("pk", flat=True))
        stop_and_wait = async_to_sync(stop_sessions.stop_and_wait)
        outcome = stop_and_wait(request.user.pk or 0, client_address.of(request), running_ids, reason)
        level = messages.ERROR if outcome.troubles else messages.SUCCESS if outcome.is_all_over else messages.WARNING
        self.message_user(request, stop_sessions.describe(outcome), level)
