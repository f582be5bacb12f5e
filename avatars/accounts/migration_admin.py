"""The page on which staff move personas from one account to another."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from unfold.widgets import UnfoldAdminSelectWidget

from avatars.accounts import migration
from avatars.models import Avatar, KnowledgeBase, ProviderAccount, Voice
from heygen_portal.providers.contract.provider import ProviderError
from heygen_portal.trail.change_log import Actor

MODELS: dict[str, type[Any]] = {"avatar": Avatar, "voice": Voice, "base": KnowledgeBase}


class TargetForm(forms.Form):
    def __init__(self, targets: QuerySet[ProviderAccount], **options: Any) -> None:
        super().__init__(**options)
        self.fields["target"] = forms.ModelChoiceField(
            targets, label=_("Target account"), empty_label=None, widget=UnfoldAdminSelectWidget
        )


def page(request: HttpRequest, account: ProviderAccount, context: dict[str, Any]) -> HttpResponse:
    """Show the plan of a move, and apply it if the form asks for that."""
    targets = ProviderAccount.objects.exclude(pk=account.pk).order_by("name")
    asked = request.POST.get("target") or request.GET.get("target") or ""
    target = targets.filter(pk=asked).first() if asked.isdigit() else None
    planned = migration.plan(account, target, _choices(request)) if target else None
    if planned and request.method == "POST" and "apply" in request.POST:
        return _apply(request, planned)
    shown = {
        "title": _("Move personas of %(account)s") % {"account": account},
        "target_form": TargetForm(targets, initial={"target": target}),
        "target": target,
        "matches": _matches(planned, target) if planned and target else None,
        "moves": planned.moves if planned else [],
    }
    return render(request, "admin/avatars/migrate.html", context | shown)


def _choices(request: HttpRequest) -> dict[tuple[str, int], int]:
    found = {}
    for name, value in request.POST.items():
        kind, _dash, old = name.partition("-")
        if kind in MODELS and old.isdigit() and str(value).isdigit():
            found[kind, int(old)] = int(str(value))
    return found


def _matches(planned: migration.Plan, target: ProviderAccount) -> forms.Form:
    """Return a form with one field per entry of the old account.

    The field selects the entry's match in the new account.
    """
    form = forms.Form()
    for match in planned.matches:
        form.fields[f"{match.kind}-{match.old.pk}"] = forms.ModelChoiceField(
            migration.usable(MODELS[match.kind], target),
            label=str(match.old),
            initial=match.new,
            empty_label=_("to be copied") if match.is_to_be_copied else _("no match"),
            required=False,
            widget=UnfoldAdminSelectWidget,
        )
    return form


def _apply(request: HttpRequest, planned: migration.Plan) -> HttpResponse:
    try:
        for line in async_to_sync(migration.apply)(planned, Actor.of(request)):
            messages.info(request, line)
    except ProviderError as exc:
        words = _("%(account)s did not accept a knowledge base (%(detail)s). No persona was moved.")
        messages.error(request, words % {"account": planned.target, "detail": exc})
    return HttpResponseRedirect(f"{request.path}?target={planned.target.pk}")
