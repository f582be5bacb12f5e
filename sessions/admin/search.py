"""Search sessions by their transcripts.

A recorded reason is required, because a result reveals masked text.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from heygen_portal.runtime import budgets, client_address
from heygen_portal.runtime.text.limits import LimitedText
from sessions.actions import staff_reasons
from sessions.audit.page import READ
from sessions.exports import filters
from sessions.models import StreamingSession


class SearchForm(forms.Form):
    words = LimitedText(
        label=_("Search terms"),
        help_text=_("Finds lines that contain all of these words, in any order. Three letters of a word are enough."),
        max_characters=200,
        widget=UnfoldAdminTextInputWidget,
    )
    reason = staff_reasons.form_field(
        label=_("Reason for the search"),
        help_text=_("Your name, IP address, the search terms and this reason are recorded."),
        widget=UnfoldAdminTextInputWidget,
    )


def page(request: HttpRequest) -> HttpResponse:
    """Ask for search terms and a reason, and redirect to the matching sessions."""
    if not request.user.has_perm(READ):
        raise PermissionDenied
    form = SearchForm(request.POST or None)
    if form.is_valid():
        budgets.spend_sync("search", person=request.user.pk, address=client_address.of(request))
        words, reason = form.cleaned_data["words"], form.cleaned_data["reason"]
        search = filters.record_search(request.user.pk or 0, client_address.of(request), words, reason)
        listed = reverse("admin:avatar_sessions_streamingsession_changelist")
        return redirect(f"{listed}?{filters.SPEECH_SEARCH}={search.number}")
    context = {"title": gettext("Search transcripts"), "form": form, "opts": StreamingSession._meta}
    return render(request, "admin/sessions_search.html", admin.site.each_context(request) | context)


class TranscriptSearchFilter(admin.SimpleListFilter):
    """List filter by one of the user's recorded transcript searches.

    Not offered without one.
    """

    title = _("transcript search")
    parameter_name = filters.SPEECH_SEARCH
    words = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        number = self.value()
        if not number:
            return []
        search = filters.own_search(number, request.user.pk or 0) if request.user.has_perm(READ) else None
        self.words = filters.words_of(search) if search else ""
        return [(number, self.words or gettext("not your search"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(pk__in=filters.sessions_with_words(self.words)) if self.words else queryset.none()
