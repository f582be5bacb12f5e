"""The page on which staff see which call to a provider fails, why, and what to do."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from avatars.accounts import connection
from avatars.models import ProviderAccount

NAMES = {
    "key": _("Is the key accepted?"),
    "avatars": _("Which avatars are there?"),
    "voices": _("Which voices are there?"),
    "knowledge": _("Which knowledge bases are there?"),
    "sessions": _("Which sessions are open?"),
}
REMEDIES = {
    "key": _("The provider does not accept this key. Enter it again, and check that it is of this provider."),
    "refused": _("The provider says no to this call. Does the plan include it?"),
    "silent": _("No usable answer. Check the address, and whether this server may connect to it."),
}


def page(request: HttpRequest, account: ProviderAccount) -> HttpResponse:
    calls = async_to_sync(connection.check)(account)
    rows = [(NAMES[call.code], call, REMEDIES.get(call.why, "")) for call in calls]
    shown = {"account": account, "rows": rows, "failed": sum(bool(call.why) for call in calls)}
    return render(request, "avatars/connection.html", shown)
