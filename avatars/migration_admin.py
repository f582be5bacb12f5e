"""The page on which staff move personas from one account to another."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _

from avatars import migration
from avatars.models import Avatar, KnowledgeBase, ProviderAccount, Voice
from heygen_portal.providers.base import ProviderError

MODELS: dict[str, type[Any]] = {"avatar": Avatar, "voice": Voice, "base": KnowledgeBase}


def page(request: HttpRequest, account: ProviderAccount, context: dict[str, Any]) -> HttpResponse:
    """Show what would be moved where; with the button that says so, move it."""
    targets = ProviderAccount.objects.exclude(pk=account.pk).order_by("name")
    asked = request.POST.get("target") or request.GET.get("target") or ""
    target = targets.filter(pk=asked).first() if asked.isdigit() else None
    wanted = migration.plan(account, target, _choices(request)) if target else None
    if wanted and request.method == "POST" and "apply" in request.POST:
        return _apply(request, wanted)
    shown = {
        "title": _("Move the personas of %(account)s") % {"account": account},
        "account": account,
        "targets": targets,
        "target": target,
        "rows": [_row(match, target) for match in wanted.matches] if wanted and target else [],
        "moves": wanted.moves if wanted else [],
    }
    return render(request, "admin/avatars/migrate.html", context | shown)


def _choices(request: HttpRequest) -> dict[tuple[str, int], int]:
    found = {}
    for name, value in request.POST.items():
        kind, _dash, old = name.partition("-")
        if kind in MODELS and old.isdigit() and str(value).isdigit():
            found[kind, int(old)] = int(str(value))
    return found


def _row(match: migration.Match, target: ProviderAccount) -> dict[str, Any]:
    offered = migration.usable(MODELS[match.kind], target)
    return {"match": match, "name": f"{match.kind}-{match.old.pk}", "offered": offered}


def _apply(request: HttpRequest, wanted: migration.Plan) -> HttpResponse:
    try:
        for line in async_to_sync(migration.carry_out)(wanted):
            messages.info(request, line)
    except ProviderError as exc:
        words = _("%(account)s did not take a knowledge base (%(detail)s). No persona was moved.")
        messages.error(request, words % {"account": wanted.target, "detail": exc})
    return HttpResponseRedirect(f"{request.path}?target={wanted.target.pk}")
