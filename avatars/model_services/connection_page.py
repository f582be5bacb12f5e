"""The page that shows which calls to a model service fail, why, and what to do."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from avatars.model_services import connection
from avatars.models import ModelService
from heygen_portal.runtime import budgets

NAMES = {
    "models": _("List of models"),
    "chat": _("Chat"),
    "tools": _("Tools"),
    "embeddings": _("Embeddings"),
    "moderation": _("Moderation"),
    "transcription": _("Speech recognition"),
    "speech": _("Speech synthesis"),
}
REMEDIES = {
    "key": _("The service does not accept this key. Enter it again and check that it belongs to this service."),
    "model": _("The service has no such call or no model of this name. Compare it with the list of models."),
    "limit": _("The service limits requests now, or your balance is used up. Check your account there."),
    "refused": _("The service refuses this call. Check that the model can do this."),
    "silent": _("No usable response. Check the address and whether this server can connect to it."),
    "unreadable": _("The stored key can no longer be decrypted. Enter it again."),
    "unlisted": _("The service’s list has no model of this name."),
    "uncalled": _("The model called no tool. Personas with tools need a model that calls them."),
}


def page(request: HttpRequest, service: ModelService) -> HttpResponse:
    budgets.spend_sync("provider_lookup", person=request.user.pk, account=f"model-{service.pk}")
    calls = async_to_sync(connection.check)(service)
    rows = [(NAMES[call.code], call, REMEDIES.get(call.why, "")) for call in calls]
    shown = {
        "account": service,
        "rows": rows,
        "failed": sum(bool(call.why) for call in calls),
        "back": reverse("admin:avatars_modelservice_change", args=[service.pk]),
        "back_label": _("The service"),
    }
    return render(request, "avatars/connection.html", shown)
