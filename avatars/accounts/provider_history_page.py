"""The page with the provider's own session history.

It includes sessions that the portal did not start.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.formats import date_format, localize
from django.utils.html import format_html
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.console.durations import readable_duration
from heygen_portal.providers.contract.provider import PastSession, PastSessions, ProviderError
from heygen_portal.runtime import budgets

HEADERS = (
    gettext_lazy("provider’s ID"),
    gettext_lazy("created at"),
    gettext_lazy("duration"),
    gettext_lazy("end reason"),
    gettext_lazy("credits"),
)


def page(request: HttpRequest, account: ProviderAccount, context: dict[str, Any]) -> HttpResponse:
    """Show one page of the history. `page` is its number."""
    asked = request.GET.get("page", "")
    number = max(1, int(asked)) if asked.isdecimal() and len(asked) < 7 else 1
    budgets.spend_sync("provider_lookup", person=request.user.pk, account=account.pk)
    try:
        past = async_to_sync(_past)(account, number)
    except ProviderError as exc:
        words = _("%(account)s could not be reached (%(detail)s).") % {"account": account, "detail": exc}
        messages.error(request, words)
        past = PastSessions()
    shown = {
        "title": _("Past sessions according to %(account)s") % {"account": account},
        "table": {"headers": HEADERS, "rows": [_cells(row) for row in past.rows]},
        "previous": f"?page={number - 1}" if number > 1 else "",
        "following": f"?page={number + 1}" if past.has_more else "",
    }
    return render(request, "admin/avatars/past.html", context | shown)


def _cells(row: PastSession) -> list[Any]:
    ours = reverse("admin:avatar_sessions_streamingsession_changelist", query={"q": row.provider_session_id})
    return [
        format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', ours, row.provider_session_id
        ),
        date_format(localtime(row.created_at), "DATETIME_FORMAT") if row.created_at else "–",
        readable_duration(row.duration),
        row.end_reason or "–",
        "–" if row.credits is None else localize(row.credits),
    ]


async def _past(account: ProviderAccount, number: int) -> PastSessions:
    async with providers.opened(account) as provider:
        return await provider.past_sessions(number)
