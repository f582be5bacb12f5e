"""Pages to download personal data and to close an account.

Users do so themselves, or staff on their behalf.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from heygen_portal.branding.current import current
from heygen_portal.people.access import sudo
from heygen_portal.people.closing import LastAdministratorError, is_closed, is_last_administrator
from heygen_portal.runtime import budgets, client_address
from heygen_portal.runtime.in_thread import iterate_in_thread
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.actions import staff_reasons
from sessions.models import StreamingSession
from sessions.personal_data import closing
from sessions.personal_data import contents as personal_data
from sessions.personal_data import html_page as personal_data_page
from sessions.retention import erasure

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

CONTENT_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8"}


@require_safe
@never_cache
def overview(request: HttpRequest) -> HttpResponse:
    """Show what users can do with their own data.

    Open to every signed-in user, whatever their role.
    """
    user_id = request.user.pk or 0
    sessions = StreamingSession.objects.filter(user_id=user_id)
    context = {
        "conversations": sessions.count(),
        "erasable": erasure.erasable().filter(user_id=user_id).count(),
        "held": closing.held_conversations_of(user_id),
        "sign_in_log_days": settings.SIGN_IN_LOG_DAYS,
        "privacy_notice": current().privacy_url,
        "is_confirmed": sudo.is_confirmed(request),
    }
    return render(request, "sessions/personal_data.html", context)


@never_cache
def download(request: HttpRequest, extension: str) -> HttpResponseBase:
    """Send all data stored about the user who asks.

    A GET leads to the overview with the button.
    """
    if request.method != "POST":
        return redirect("sessions:personal_data")
    if not sudo.is_confirmed(request):
        return sudo.ask(request, return_to=reverse("sessions:personal_data"))
    if extension not in CONTENT_TYPES or not isinstance(request.user, User):
        raise Http404
    return _send(request, request.user, extension, reason="")


class CloseForm(forms.Form):
    """Confirmation that is typed, so that a click alone closes nothing."""

    username = forms.CharField(
        label=_("Your user name"),
        help_text=_("Type it to confirm."),
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )

    def __init__(self, user: User, *args: Any) -> None:
        super().__init__(*args)
        self.user = user

    def clean_username(self) -> str:
        typed: str = self.cleaned_data["username"]
        if typed.strip() != self.user.get_username():
            raise forms.ValidationError(_("This is not the user name of the account."))
        return typed


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def close_account(request: HttpRequest) -> HttpResponse:
    """Close the account of the user who asks.

    Open to every signed-in user, whatever their role.
    """
    user = request.user
    assert isinstance(user, User)
    form = CloseForm(user, request.POST or None)
    if form.is_valid():
        if not sudo.is_confirmed(request):
            return sudo.ask(request)
        language = translation.get_language()
        with suppress(LastAdministratorError):  # the page says so
            outcome = closing.close(request, user.pk)
            logout(request)
            with translation.override(language):
                return render(request, "sessions/account_closed.html", {"outcome": outcome})
    sessions = StreamingSession.objects.filter(user=user)
    context = {
        "form": form,
        "is_last_administrator": is_last_administrator(user),
        "running": sessions.open().count(),
        "held": closing.held_conversations_of(user.pk),
        "is_confirmed": sudo.is_confirmed(request),
    }
    return render(request, "sessions/close_account.html", context)


def _reason_field(help_text: _StrPromise) -> forms.CharField:
    return staff_reasons.form_field(label=_("Reason"), help_text=help_text, widget=UnfoldAdminTextInputWidget)


class StaffCloseForm(CloseForm):
    field_order = ("reason", "username")
    reason = _reason_field(
        _("For example, the date of the user’s request. It stays in the audit log: do not name the user.")
    )
    username = forms.CharField(
        label=_("User name of the account"),
        help_text=_("Type it to confirm."),
        max_length=150,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
    )


@sudo.required
def close_on_behalf(request: HttpRequest, person: User) -> HttpResponse:
    """Let staff close a person's account, for a reason that is recorded."""
    if person.pk == request.user.pk:
        return redirect("sessions:close_account")
    if is_closed(person):
        messages.success(request, gettext("The account is closed."))
        return redirect("admin:auth_user_change", person.pk)
    form = StaffCloseForm(person, request.POST or None)
    is_last = is_last_administrator(person)
    if form.is_valid() and not is_last:
        try:
            outcome = closing.close(request, person.pk, reason=form.cleaned_data["reason"])
        except LastAdministratorError:  # since the check above; the page says so
            is_last = True
        else:
            messages.success(request, _summary(outcome))
            return redirect("admin:auth_user_change", person.pk)
    context = {
        "title": gettext("Close account"),
        "form": form,
        "person": person,
        "opts": User._meta,
        "is_last_administrator": is_last,
        "held": closing.held_conversations_of(person.pk),
    }
    return render(request, "admin/close_account.html", admin.site.each_context(request) | context)


def _summary(outcome: closing.Outcome) -> str:
    sentences = [gettext("The account is closed.")]
    if outcome.held:
        held = ngettext(
            "%(count)d conversation is under a legal hold. It is erased the night after the hold is released.",
            "%(count)d conversations are under a legal hold. They are erased the night after the hold is released.",
            outcome.held,
        )
        sentences.append(held % {"count": outcome.held})
    if outcome.stopping:
        stopping = ngettext(
            "%(count)d session is being stopped. Its text is erased the night after its provider confirms.",
            "%(count)d sessions are being stopped. Their text is erased the night after their providers confirm.",
            outcome.stopping,
        )
        sentences.append(stopping % {"count": outcome.stopping})
    if outcome.failed:
        failed = ngettext(
            "The text of %(count)d conversation could not be erased, because its record is damaged. The portal tries "
            "again each night.",
            "The text of %(count)d conversations could not be erased, because their records are damaged. The portal "
            "tries again each night.",
            outcome.failed,
        )
        sentences.append(failed % {"count": outcome.failed})
    return " ".join(sentences)


class RequestForm(forms.Form):
    reason = _reason_field(_("For example, the date of the user’s request. It is recorded with your name."))
    extension = forms.ChoiceField(
        label=_("Format"),
        choices=[("html", _("web page")), ("json", "JSON")],
        initial="html",
        widget=UnfoldAdminRadioSelectWidget,
    )


@sudo.required
def on_behalf(request: HttpRequest, person: User) -> HttpResponseBase:
    """Let staff download a person's data, for a reason that is recorded."""
    form = RequestForm(request.POST or None)
    if form.is_valid():
        return _send(request, person, form.cleaned_data["extension"], reason=form.cleaned_data["reason"])
    context = {"title": gettext("Personal data"), "form": form, "person": person, "opts": User._meta}
    return render(request, "admin/personal_data.html", admin.site.each_context(request) | context)


def _send(request: HttpRequest, person: User, extension: str, *, reason: str) -> HttpResponseBase:
    """Record the download, then send the data."""
    budgets.spend_sync("export", person=request.user.pk, address=client_address.of(request))
    details: dict[str, Any] = {"format": extension, "person": person.pk, "reason": reason}
    audit_log.record(request, AuditEntry.Kind.PERSONAL_DATA, person, **details)
    write = personal_data.as_json if extension == "json" else personal_data_page.as_page
    pieces: Iterator[bytes] = write(person)
    name = personal_data.file_name(person, extension)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(iterate_in_thread(pieces), content_type=CONTENT_TYPES[extension], headers=headers)
