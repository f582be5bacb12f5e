"""HTTP responses without a result: 429 for used-up budgets, 503 while the database does not answer."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template import loader
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import ngettext
from django.views import defaults

from heygen_portal.runtime.budgets import TooManyRequests

OUTAGE_RETRY_S = 5


def retry_message(wait_seconds: int) -> str:
    """Return when to try again, for pages whose heading gives the reason."""
    if wait_seconds < 90:
        words = ngettext("Try again in %(n)s second.", "Try again in %(n)s seconds.", wait_seconds)
        return words % {"n": wait_seconds}
    minutes = -(-wait_seconds // 60)
    return ngettext("Try again in %(n)s minute.", "Try again in %(n)s minutes.", minutes) % {"n": minutes}


def full_message(wait_seconds: int) -> str:
    """Return the reason and when to try again, in the active language."""
    if wait_seconds < 90:
        words = ngettext(
            "Too many requests. Try again in %(n)s second.",
            "Too many requests. Try again in %(n)s seconds.",
            wait_seconds,
        )
        return words % {"n": wait_seconds}
    minutes = -(-wait_seconds // 60)
    words = ngettext(
        "Too many requests. Try again in %(n)s minute.", "Too many requests. Try again in %(n)s minutes.", minutes
    )
    return words % {"n": minutes}


class TooManyRequestsMiddleware(MiddlewareMixin):
    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return refusal_response(request, exception) if isinstance(exception, TooManyRequests) else None


def refusal_response(request: HttpRequest, refusal: TooManyRequests) -> HttpResponse:
    """Return a page, or JSON for clients that do not accept HTML."""
    response: HttpResponse
    if request.accepts("text/html") and "text/html" in request.headers.get("Accept", "text/html"):
        context = {"words": retry_message(refusal.wait_seconds), "hint": refusal.hint}
        response = render(request, "429.html", context, status=429)
    else:
        words = full_message(refusal.wait_seconds)
        payload = {"code": "too_many_requests", "words": words, "wait_seconds": refusal.wait_seconds}
        response = JsonResponse(payload, status=429)
    response["Retry-After"] = str(refusal.wait_seconds)
    response["Cache-Control"] = "no-store"
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer after an exception. An outage of the database is no error of the portal, and over soon."""
    if not isinstance(sys.exception(), (OperationalError, InterfaceError)):
        return defaults.server_error(request)
    response = HttpResponse(loader.get_template("503.html").render(), status=503)
    response["Retry-After"] = str(OUTAGE_RETRY_S)
    response["Cache-Control"] = "no-store"
    return response
