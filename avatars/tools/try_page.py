"""The page on which staff try a tool: the request with its secrets hidden, and what came back."""

from __future__ import annotations

import json
import time
from typing import Any

from asgiref.sync import async_to_sync
from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from avatars.models import HttpTool
from avatars.models.accounts import is_readable
from avatars.tools import requests, schemas, sending
from avatars.tools.requests import HIDDEN, BadArguments, Request
from avatars.tools.sending import RequestFailed
from heygen_portal.runtime import budgets

REMEDIES = {
    sending.TIMED_OUT: _("It took longer than the time limit."),
    sending.FORBIDDEN_ADDRESS: _("The portal calls no such address. See the server’s settings."),
    sending.UNKNOWN_HOST: _("There is no host of this name."),
    sending.UNREACHABLE: _("Nothing answers at this address."),
    sending.BAD_CERTIFICATE: _("The certificate is not valid."),
    sending.BROKEN: _("The response could not be read."),
    sending.REDIRECTED: _("The service redirects. Enter the address that it redirects to."),
    sending.TOO_LARGE: _("The response is longer than the limit."),
    sending.NO_TEXT: _("The response is no text."),
}


class ArgumentsForm(forms.Form):
    arguments = forms.CharField(
        label=_("Arguments"), max_length=4000, widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"})
    )

    def __init__(self, schema: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._schema = schema

    def clean_arguments(self) -> dict[str, Any]:
        try:
            found = json.loads(self.cleaned_data["arguments"])
        except (ValueError, RecursionError) as exc:
            raise ValidationError(_("This is no JSON.")) from exc
        if not isinstance(found, dict) or not schemas.fits(found, self._schema):
            raise ValidationError(_("They do not fit the schema."))
        return found


def page(request: HttpRequest, tool: HttpTool) -> HttpResponse:
    """Show the form and, on POST, call the tool."""
    try:
        schema = schemas.read(tool.arguments)
    except ValidationError:  # changed by SQL
        schema = {"type": "object", "additionalProperties": False}
    sample = json.dumps(schemas.sample(schema), indent=2, ensure_ascii=False)
    form = ArgumentsForm(schema, request.POST or None, initial={"arguments": sample})
    context: dict[str, Any] = {
        "tool": tool, "form": form, "back": reverse("admin:avatars_httptool_change", args=[tool.pk])
    }  # fmt: skip
    if request.method == "POST" and form.is_valid():
        budgets.spend_sync("provider_lookup", person=request.user.pk, account=f"tool-{tool.pk}")
        context |= _tried(tool, form.cleaned_data["arguments"])
    return render(request, "avatars/try_tool.html", context)


def _tried(tool: HttpTool, arguments: dict[str, Any]) -> dict[str, Any]:
    if not is_readable(tool.secrets):
        return {"remedy": _("The stored secrets can no longer be decrypted. Enter them again.")}
    try:
        made = requests.build(tool, arguments)
    except (BadArguments, ValidationError, ValueError):
        return {"remedy": _("These arguments cannot be written into the request.")}
    began = time.monotonic()
    try:
        text, code = async_to_sync(sending.send)(tool, made), ""
    except RequestFailed as exc:
        text, code = "", exc.code
    took = round((time.monotonic() - began) * 1000)
    remedy = REMEDIES.get(code, _("The service refuses the request.")) if code else ""
    return {"sent": shown(made), "text": text, "code": code, "remedy": remedy, "took_ms": took, "is_tried": True}


def shown(request: Request) -> str:
    """Return a request as text, without its secrets."""
    headers = {**request.headers, **dict.fromkeys(request.secrets, HIDDEN)}
    lines = [f"{request.method} {request.url}", *(f"{name}: {value}" for name, value in headers.items())]
    if request.body is not None:
        lines += ["", json.dumps(json.loads(request.body), indent=2, ensure_ascii=False)]
    return "\n".join(lines)
