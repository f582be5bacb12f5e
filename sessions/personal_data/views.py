"""The pages on which people get and erase what is stored about them, and on which staff get it on their behalf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from heygen_portal.people.access import sudo
from heygen_portal.runtime import budgets, client_address
from heygen_portal.runtime.in_thread import iterate_in_thread
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.models import LegalHold, StreamingSession
from sessions.personal_data import contents as personal_data
from sessions.personal_data import html_page as personal_data_page
from sessions.retention import erasure

CONTENT_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8"}


@require_safe
@never_cache
def overview(request: HttpRequest) -> HttpResponse:
    """What one can do about one's own data. Open to everybody who is signed in, whatever their role."""
    user_id = request.user.pk or 0
    sessions = StreamingSession.objects.filter(user_id=user_id)
    context = {
        "conversations": sessions.count(),
        "erasable": erasure.erasable().filter(user_id=user_id).count(),
        "held": LegalHold.objects.active().filter(session__user_id=user_id).count(),
        "sign_in_log_days": settings.SIGN_IN_LOG_DAYS,
        "privacy_notice": settings.PRIVACY_NOTICE_URL,
        "is_confirmed": sudo.is_confirmed(request),
    }
    return render(request, "sessions/personal_data.html", context)


@never_cache
def download(request: HttpRequest, extension: str) -> HttpResponseBase:
    """Send all that is stored about whoever asks. A link leads to the button."""
    if request.method != "POST":
        return redirect("sessions:personal_data")
    if not sudo.is_confirmed(request):
        return sudo.ask(request, return_to=reverse("sessions:personal_data"))
    if extension not in CONTENT_TYPES or not isinstance(request.user, User):
        raise Http404
    return _sent(request, request.user, extension, reason="")


class RequestForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("For example, the date of the user’s request. It is recorded with your name."),
        min_length=5,
        max_length=300,
        widget=UnfoldAdminTextInputWidget,
    )
    extension = forms.ChoiceField(
        label=_("Format"),
        choices=[("html", _("web page")), ("json", "JSON")],
        initial="html",
        widget=UnfoldAdminRadioSelectWidget,
    )


@sudo.required
def on_behalf(request: HttpRequest, person: User) -> HttpResponseBase:
    """Let staff take what is stored about a person, for a reason that is recorded."""
    form = RequestForm(request.POST or None)
    if form.is_valid():
        return _sent(request, person, form.cleaned_data["extension"], reason=form.cleaned_data["reason"])
    context = {"title": gettext("Personal data"), "form": form, "person": person, "opts": User._meta}
    return render(request, "admin/personal_data.html", admin.site.each_context(request) | context)


def _sent(request: HttpRequest, person: User, extension: str, *, reason: str) -> HttpResponseBase:
    """Record who takes whose data, then send it."""
    budgets.spend_sync("export", person=request.user.pk, address=client_address.of(request))
    taken: dict[str, Any] = {"format": extension, "person": person.pk, "reason": reason}
    audit_log.record(request, AuditEntry.Kind.PERSONAL_DATA, person, **taken)
    write = personal_data.as_json if extension == "json" else personal_data_page.as_page
    pieces: Iterator[bytes] = write(person)
    name = personal_data.file_name(person, extension)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(iterate_in_thread(pieces), content_type=CONTENT_TYPES[extension], headers=headers)
