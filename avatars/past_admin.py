"""The page on which staff read the provider's own history, page by page: what is not ours stands there, too."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.admin_parts import readable
from heygen_portal.providers.base import PastSessions, ProviderError


def page(request: HttpRequest, account: ProviderAccount, context: dict[str, Any]) -> HttpResponse:
    """Ask the provider for one page; `page` says which."""
    asked = request.GET.get("page", "")
    number = max(1, int(asked)) if asked.isdecimal() and len(asked) < 7 else 1
    try:
        past = async_to_sync(_past)(account, number)
    except ProviderError as exc:
        words = _("%(account)s could not be asked (%(detail)s).") % {"account": account, "detail": exc}
        messages.error(request, words)
        past = PastSessions()
    shown = {
        "title": _("Sessions that were, as %(account)s has them") % {"account": account},
        "rows": [(row, readable(row.duration)) for row in past.rows],
        "previous": number - 1,
        "following": number + 1 if past.has_more else None,
    }
    return render(request, "admin/avatars/past.html", context | shown)


async def _past(account: ProviderAccount, number: int) -> PastSessions:
    async with providers.opened(account) as provider:
        return await provider.past_sessions(number)
