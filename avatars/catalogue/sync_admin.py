"""The page on which staff sync an account's catalogue and see the results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from avatars.catalogue import sync_runs
from avatars.models import Avatar, CatalogueSync, KnowledgeBase, News, ProviderAccount, Voice

KINDS = {"avatars": Avatar, "voices": Voice, "knowledge_bases": KnowledgeBase}
# Number of syncs on the page.
SYNCS_SHOWN = 10


def page(request: HttpRequest, account: ProviderAccount, context: dict[str, Any], *, may_sync: bool) -> HttpResponse:
    """Show the latest syncs.

    With `?progress`, return the progress as JSON for the page's script.
    """
    if request.method == "POST":
        if may_sync:
            request_syncs(request, [account])
        return redirect(request.path)
    syncs = list(account.syncs.select_related("asked_by")[:SYNCS_SHOWN])
    last = syncs[0] if syncs else None
    is_under_way = last is not None and last.is_under_way and not last.is_lost(timezone.now())
    if "progress" in request.GET:
        rows = {"rows_done": last.done, "rows_total": last.total} if last else {}
        return JsonResponse({"is_under_way": is_under_way, **rows})
    shown = {
        "title": _("Catalogue of %(account)s") % {"account": account},
        "account": account,
        "syncs": syncs,
        "last": last,
        "is_under_way": is_under_way,
        "may_sync": may_sync,
        "kinds": [_row(account, last, name) for name in KINDS] if last and last.found else [],
    }
    return render(request, "admin/avatars/sync.html", context | shown)


def request_syncs(request: HttpRequest, accounts: Iterable[ProviderAccount]) -> None:
    """Queue a sync for each account that is not being synced already."""
    for account in accounts:
        sync, is_new = sync_runs.begin(account, request.user.pk)
        try:
            if is_new:
                sync_runs.sync_account.delay(sync.pk)
        except OperationalError:
            messages.error(request, _("The worker is not reachable. Try again."))
            sync.delete()
            return
        words = (
            _("%(account)s: the worker is syncing the catalogue.")
            if is_new
            else _("%(account)s is already being synced.")
        )
        messages.info(request, words % {"account": account})


def _row(account: ProviderAccount, sync: CatalogueSync, name: str) -> dict[str, Any]:
    """Return one kind's number of entries, and how many are new, changed or gone."""
    model = KINDS[name]
    counts = sync.found[name]
    url = f"admin:avatars_{model._meta.model_name}_changelist"
    news = [(counts[news.value], f"?account__id__exact={account.pk}&news={news.value}") for news in News]
    return {"label": capfirst(model._meta.verbose_name_plural), "url": url, "listed": counts["listed"], "news": news}
