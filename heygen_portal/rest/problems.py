"""Errors of the REST API as RFC 9457 problem details, in the caller's language."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from heygen_portal.people.api_keys.callers import AddressRefused, KeyExpired, KeyRefused, ScopeMissing
from heygen_portal.runtime import refusals
from heygen_portal.runtime.budgets import TooManyRequests

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:heygen-portal:problem:"
CHALLENGE = "Bearer"
# After these, nobody knows what the request has done.
UNCLEAR_CODES = frozenset({"internal", "storage_away"})


class Problem(Exception):
    """A refusal with a stable code for programs and a title for people.

    `more` are further members of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str | Promise,
        *,
        detail: str | Promise = "",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.title, self.detail = status, code, title, detail
        self.headers, self.more = dict(headers or {}), more


class ProblemResponse(HttpResponse):
    """An answer that describes a problem."""

    code = ""


def is_unclear(answer: HttpResponseBase) -> bool:
    """Whether the request may have done something although its answer describes a problem."""
    return isinstance(answer, ProblemResponse) and answer.code in UNCLEAR_CODES


def response(problem: Problem) -> ProblemResponse:
    """Return the answer that describes a problem in the active language."""
    content = {
        "type": f"{TYPE_PREFIX}{problem.code}",
        "title": str(problem.title),
        "status": problem.status,
        "code": problem.code,
        **({"detail": str(problem.detail)} if problem.detail else {}),
        **problem.more,
    }
    headers = {"Cache-Control": "no-store", **problem.headers}
    answer = ProblemResponse(json.dumps(content), status=problem.status, content_type=CONTENT_TYPE, headers=headers)
    answer.code = problem.code
    return answer


def not_found() -> Problem:
    """Return the problem of an unknown address, and of a row that the caller may not see."""
    return Problem(404, "not_found", _("There is nothing at this address, or you may not see it."))


def invalid(errors: list[dict[str, Any]]) -> Problem:
    """Return the problem of parameters or a body that do not match the schema.

    Values are left out: they may be speech.
    """
    listed = [{"at": _place(error["loc"]), "message": str(error["msg"])} for error in errors]
    return Problem(422, "invalid_request", _("The request does not match the schema."), errors=listed)


def _place(location: Sequence[str | int]) -> str:
    """Return a place such as `query.limit` or `body.persona`. Ninja adds the name of the operation's argument."""
    steps = [str(step) for step in location]
    return ".".join(steps[:1] + steps[2:] if steps[:2] == ["body", "body"] else steps)


def refused_form(code: str, title: Promise, errors: Mapping[str, Iterable[object]]) -> Problem:
    """Return the problem of content that the form of the admin's page refuses, too."""
    words = " ".join(str(message) for messages in errors.values() for message in messages)
    return Problem(409, code, title, detail=words)


def unreadable_body() -> Problem:
    return Problem(400, "unreadable_body", _("The body is not valid JSON."))


def wrong_content_type(*types: str) -> Problem:
    """Return the problem of a body that is not declared as one of these types, by default JSON."""
    title = _("Send the body as %(types)s.") % {"types": " / ".join(types or ("application/json",))}
    return Problem(415, "wrong_content_type", title)


def body_too_large() -> Problem:
    return Problem(413, "body_too_large", _("The body is too large."))


def too_many_requests(refusal: TooManyRequests) -> Problem:
    headers = {"Retry-After": str(refusal.wait_seconds)}
    title = refusals.full_message(refusal.wait_seconds)
    return Problem(429, "too_many_requests", title, headers=headers, wait_seconds=refusal.wait_seconds)


def storage_away() -> Problem:
    words = _("The portal cannot reach its database at the moment. Try again in a few seconds.")
    return Problem(503, "storage_away", words, headers={"Retry-After": str(refusals.OUTAGE_RETRY_S)})


def internal() -> Problem:
    return Problem(500, "internal", _("Something went wrong on our side. Try again."))


def key_missing() -> Problem:
    return _unauthorized("key_missing", _("Send an API key: “Authorization: Bearer hp_…”."))


def of_key(refusal: KeyRefused) -> Problem:
    """Return the problem of a key that is not accepted."""
    match refusal:
        case KeyExpired():
            return _unauthorized("key_expired", _("This API key has expired."))
        case AddressRefused():
            return Problem(403, "address_refused", _("This API key may not be used from your address."))
    return _unauthorized("key_refused", _("This API key is not valid, or its owner has lost access."))


def of_scope(missing: ScopeMissing) -> Problem:
    words = _("This API key lacks a scope, or its owner’s role no longer allows it.")
    return Problem(403, "scope_missing", words, scopes=missing.wanted)


def test_key() -> Problem:
    return Problem(403, "test_key", _("A test key works with the emulator only."))


def _unauthorized(code: str, title: str | Promise) -> Problem:
    return Problem(401, code, title, headers={"WWW-Authenticate": CHALLENGE})


def method_not_allowed(allowed: str) -> Problem:
    headers = {"Allow": allowed} if allowed else {}
    return Problem(405, "method_not_allowed", _("This address does not support the method."), headers=headers)
