"""The REST API `/api/v1`: which operations there are, and what becomes of their errors."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, cast

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, RawPostDataException
from django.http.response import HttpResponseBase
from django.urls import URLPattern, re_path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser

from avatars.api import answers, knowledge, libraries, personas, videos
from heygen_portal.api import people, webhooks
from heygen_portal.rest import problems
from heygen_portal.rest.operations import Operations
from heygen_portal.rest.problems import Problem
from heygen_portal.runtime.budgets import TooManyRequests
from sessions import errors
from sessions.actions.start_by_program import StartFailed
from sessions.api import history, notices, persona_tests, records, refusals, running

logger = logging.getLogger(__name__)

VERSION = "1"
PREFIX = f"api/v{VERSION}/"
JSON = "application/json"
# The order of the reference. Operations of a new subject are added here.
SUBJECTS: tuple[Operations, ...] = (
    personas.operations,
    notices.operations,
    running.operations,
    history.operations,
    persona_tests.operations,
    records.costs,
    records.quota,
    records.exports,
    people.operations,
    knowledge.operations,
    libraries.operations,
    answers.operations,
    videos.operations,
    webhooks.operations,
)


class StrictParser(Parser):
    """Reads bodies as JSON objects of finite numbers in UTF-8. Raises Problem."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        if request.content_type != JSON:
            raise problems.wrong_content_type()
        try:
            parsed = json.loads(request.body, parse_constant=_refuse_constant, parse_float=_number)
        except (ValueError, RecursionError, RawPostDataException) as exc:
            raise problems.unreadable_body() from exc
        return cast(dict[str, Any], parsed)


def _number(written: str) -> int | float:
    """Read a number with a fraction or an exponent. JSON Schema counts 5.0 as an integer, strict types do not."""
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(written)
    return int(number) if number.is_integer() else number


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _problem_of(exc: Exception) -> Problem:
    """Return how an exception of an operation is described. Unexpected ones are logged, and nothing of them is told."""
    match exc:
        case Problem():
            return exc
        case errors.SessionError():
            return refusals.of(exc)
        case StartFailed():
            return refusals.of_failed_start(exc)
        case TooManyRequests():
            return problems.too_many_requests(exc)
        case ValidationError():
            return problems.invalid(exc.errors)
        case RequestDataTooBig():
            return problems.body_too_large()
        case Http404():
            return problems.not_found()
        case HttpError():  # ninja wraps what the parser raises
            return exc.__cause__ if isinstance(exc.__cause__, Problem) else problems.unreadable_body()
        case OperationalError() | InterfaceError():
            return problems.storage_away()
    logger.error("an operation failed", exc_info=exc)
    return problems.internal()


def _answer_to(request: HttpRequest, exc: Exception | type[Exception]) -> HttpResponse:
    assert isinstance(exc, Exception)
    return problems.response(_problem_of(exc))


def build() -> NinjaAPI:
    """Return the API with all its operations."""
    api = NinjaAPI(
        title="HeyGen Portal",
        version=VERSION,
        urls_namespace="api",
        docs_url=None,
        openapi_url=None,
        parser=StrictParser(),
    )
    for handled in (Exception, Problem, ValidationError, Http404, HttpError):
        api.add_exception_handler(handled, _answer_to)
    for router in dict.fromkeys(operations.router for operations in SUBJECTS):
        api.add_router("", router)
    return api


api = build()
View = Callable[..., Awaitable[HttpResponseBase]]


def _outermost(view: View) -> Callable[..., HttpResponseBase]:
    """Return a view that needs no login session, and that answers other methods with a problem, too."""

    @wraps(view)
    async def answered(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        answer = await view(request, **arguments)
        if answer.status_code == 405:
            return problems.response(problems.method_not_allowed(answer.headers.get("Allow", "")))
        return answer

    public: Any = login_not_required(csrf_exempt(answered))  # the stubs know no asynchronous views
    return cast(Callable[..., HttpResponseBase], public)


async def _nothing_here(request: HttpRequest, **arguments: Any) -> HttpResponse:
    return problems.response(problems.not_found())


def urlpatterns() -> list[URLPattern]:
    """Return the addresses of the operations. Every other address under the prefix is a problem, no page."""
    patterns: list[URLPattern] = []
    for pattern in api.urls[0]:
        if isinstance(pattern, URLPattern) and pattern.name != "api-root":
            callback = _outermost(cast(View, pattern.callback))
            patterns.append(URLPattern(pattern.pattern, callback, pattern.default_args, pattern.name))
    return [*patterns, re_path(r"^(?P<rest>.*)$", _outermost(_nothing_here), name="nothing")]
