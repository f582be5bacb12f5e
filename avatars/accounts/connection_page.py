"""The page that shows which calls to a provider fail, why, and what to do."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from avatars.accounts import connection
from avatars.models import ProviderAccount
from heygen_portal.runtime import budgets

NAMES = {
    "key": _("Key accepted"),
    "avatars": _("Avatars"),
    "voices": _("Voices"),
    "knowledge": _("Knowledge bases"),
    "sessions": _("Open sessions"),
}
REMEDIES = {
    "key": _("The provider does not accept this key. Enter it again and check that it belongs to this provider."),
    "refused": _("The provider refuses this call. Check that your plan includes it."),
    "silent": _("No usable response. Check the address and whether this server can connect to it."),
}


def page(request: HttpRequest, account: ProviderAccount) -> HttpResponse:
    budgets.spend_sync("provider_lookup", person=request.user.pk, account=account.pk)
    calls = async_to_sync(connection.check)(account)
    rows = [(NAMES[call.code], call, REMEDIES.get(call.why, "")) for call in calls]
    shown = {
        "account": account,
        "rows": rows,
        "failed": sum(bool(call.why) for call in calls),
        "back": reverse("admin:avatars_provideraccount_change", args=[account.pk]),
        "back_label": _("The account"),
    }
    return render(request, "avatars/connection.html", shown)
