"""Exports in the admin: request, progress, download, and the list for auditors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from kombu.exceptions import OperationalError
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import ReadOnly
from heygen_portal.people.access import roles, sudo
from heygen_portal.runtime import budgets, client_address
from heygen_portal.runtime.in_thread import in_thread, iterate_in_thread
from heygen_portal.trail import audit_labels
from sessions import tasks
from sessions.actions import staff_reasons
from sessions.exports import filters as export_filters
from sessions.exports import list_export, session_export
from sessions.exports.delivery import CONTENT_TYPES, chunks
from sessions.models import Export, StreamingSession

What, Format, State = Export.What, Export.Format, Export.State
ZONES = _("Times are in your time zone; in JSON formats, in UTC.")


def _choice(label: Any, *choices: Any, help_text: Any = "") -> forms.ChoiceField:
    values = [(choice.value, choice.label) for choice in choices]
    return forms.ChoiceField(
        label=label, choices=values, initial=values[0][0], help_text=help_text, widget=UnfoldAdminRadioSelectWidget
    )


class _ExportForm(forms.Form):
    """Common fields of both forms.

    Conversation text can only be exported with a reason.
    """

    reason = staff_reasons.form_field(
        label=_("Reason for exporting text"),
        help_text=_(
            "Without a reason, the export contains no conversation text. The reason is recorded with your name."
        ),
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not cleaned.get("reason") and (cleaned.get("what") == What.LINES or cleaned.get("format") == Format.VTT):
            self.add_error("reason", gettext("This export contains conversation text only, so a reason is required."))
        return cleaned


class ListForm(_ExportForm):
    what = _choice(_("Contents"), What.SESSIONS, What.EVENTS, What.LINES)
    format = _choice(_("Format"), Format.XLSX, Format.CSV, Format.CSV_SEMICOLONS, Format.JSONL, help_text=ZONES)
    field_order = ("what", "format", "reason")


class SessionForm(_ExportForm):
    format = _choice(_("Format"), Format.JSON, Format.PAGE, Format.VTT, help_text=ZONES)
    field_order = ("format", "reason")


def export_session(request: HttpRequest, session: StreamingSession) -> HttpResponseBase:
    """Ask for format and reason, and return the export of one session."""
    form = SessionForm(request.POST or None)
    if not form.is_valid():
        return _render_form(request, form, {"taken": session})
    cleaned = form.cleaned_data
    budgets.spend_sync("export", person=request.user.pk, address=client_address.of(request))
    export = list_export.request_export(
        request.user.pk or 0,
        client_address.of(request),
        What.RECORD,
        cleaned["format"],
        reason=cleaned["reason"],
        session=session,
    )
    if export.format == Format.PAGE:
        page = render(request, "sessions/record.html", session_export.print_context(export, session))
        add_never_cache_headers(page)
        return page
    if export.format == Format.VTT:
        return _stream_export(export, session_export.as_captions(session))
    return _stream_export(export, session_export.as_json(export, session))


def _render_form(request: HttpRequest, form: forms.Form, about: dict[str, Any]) -> HttpResponse:
    context = {"title": gettext("Export"), "form": form, "opts": Export._meta, **about}
    return render(request, "admin/sessions_export.html", admin.site.each_context(request) | context)


def _stream_export(export: Export, pieces: Iterator[bytes]) -> HttpResponseBase:
    """Stream an export as the response.

    Its row records whether it was sent completely.
    """
    return _file_response(export, _record_cut_off(export, pieces))


async def _record_cut_off(export: Export, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    is_whole = False
    try:
        async for piece in iterate_in_thread(pieces):
            yield piece
        is_whole = True
    finally:  # also if the client has left, because the server then cancels or closes this generator
        if not is_whole:
            await in_thread(list_export.mark_cut_off)(export)


def _file_response(export: Export, pieces: AsyncIterator[bytes]) -> HttpResponseBase:
    headers = {"Content-Disposition": f'attachment; filename="{export.file_name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(pieces, content_type=CONTENT_TYPES[Format(export.format)], headers=headers)


@admin.register(Export)
class ExportAdmin(ReadOnly, ModelAdmin):
    """List of all exports.

    The requester can download an export while its file is kept.
    """

    list_display = (
        "asked_at",
        "asked_by",
        "asked_from",
        "what",
        "format",
        "filter_summary",
        "reason",
        "rows_done",
        "state",
    )
    list_filter = (("what", ChoicesDropdownFilter), ("state", ChoicesDropdownFilter))
    list_filter_submit = True
    list_select_related = ("asked_by",)
    search_fields = ("asked_by__username__folded", "reason__folded")

    @display(description=_("filters"))
    def filter_summary(self, export: Export) -> str:
        return str(export.session_id or "") or audit_labels.filters_text(export.filters)

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Callable[..., HttpResponseBase], name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"avatar_sessions_export_{name}")

        own = [
            page("new/", self.new, "new"),
            page("<uuid:export_id>/file/", self.file, "file"),
            page("<uuid:export_id>/change/", self.progress, "change"),
        ]
        return own + super().get_urls()

    @sudo.required
    def new(self, request: HttpRequest) -> HttpResponseBase:
        """Ask for the contents and format of an export.

        The query string has the list's filters.
        """
        if not request.user.has_perm(roles.EXPORT_SESSION):
            raise PermissionDenied
        try:
            filters = export_filters.of_query_string(request.GET.dict(), request.user.pk or 0)
        except export_filters.UnknownFilter as exc:
            words = gettext("The list uses a filter that exports do not support (%(name)s).") % {"name": exc}
            self.message_user(request, words, messages.ERROR)
            return redirect("admin:avatar_sessions_streamingsession_changelist")
        form = ListForm(request.POST or None)
        if not form.is_valid():
            return _render_form(request, form, {"filters": filters})
        cleaned, address = form.cleaned_data, client_address.of(request)
        budgets.spend_sync("export", person=request.user.pk, address=client_address.of(request))
        try:
            export = list_export.request_export(
                request.user.pk or 0,
                address,
                cleaned["what"],
                cleaned["format"],
                reason=cleaned["reason"],
                filters=filters,
            )
        except list_export.TooManyRows:
            words = gettext(
                "An Excel file holds at most %(count)d rows. Choose another format or filter the list further."
            )
            form.add_error("format", words % {"count": list_export.MAX_XLSX_ROWS})
            return _render_form(request, form, {"filters": filters})
        if export.state == State.SENT:
            return _stream_export(export, list_export.stream(export))
        try:
            tasks.write_export.delay(str(export.pk))
        except OperationalError:
            self.message_user(request, gettext("The worker is not reachable. The export starts once it is back."))
        return redirect("admin:avatar_sessions_export_change", export.pk)

    def progress(self, request: HttpRequest, export_id: UUID) -> HttpResponseBase:
        """Show an export's progress.

        With `?progress`, return it as JSON for the page's script.
        """
        export = self._find_export(request, export_id)
        is_under_way = export.state in list_export.TO_WRITE
        if "progress" in request.GET:
            rows = {"rows_done": export.rows_done, "rows_total": export.rows_total}
            return JsonResponse({"is_under_way": is_under_way, **rows})
        context = {
            "title": gettext("Export"),
            "export": export,
            "is_under_way": is_under_way,
            "is_own": export.asked_by_id == request.user.pk,
            "opts": self.opts,
        }
        return render(request, "admin/sessions_export_state.html", self.admin_site.each_context(request) | context)

    def file(self, request: HttpRequest, export_id: UUID) -> HttpResponseBase:
        export = self._find_export(request, export_id)
        if export.asked_by_id != request.user.pk or export.state != State.READY or not export.path.is_file():
            raise Http404  # also for another user's file
        if not sudo.is_confirmed(request):
            return sudo.ask(request, return_to=reverse("admin:avatar_sessions_export_change", args=[export.pk]))
        response = _file_response(export, iterate_in_thread(chunks(export)))
        response["Content-Length"] = str(export.path.stat().st_size)
        return response

    def _find_export(self, request: HttpRequest, export_id: UUID) -> Export:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(Export, pk=export_id)
