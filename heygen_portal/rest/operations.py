"""How an operation is answered: who calls, how often, once or again, with which headers.

Operations are registered with `Operations`, which needs their scopes: without one an operation cannot exist.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Router

from heygen_portal.models import ApiKey
from heygen_portal.people.api_keys import callers
from heygen_portal.people.api_keys.callers import Caller, KeyRefused, ScopeMissing
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest import idempotency, problems
from heygen_portal.rest.idempotency import Attempt
from heygen_portal.rest.problems import Problem
from heygen_portal.runtime import background, budgets, client_address
from heygen_portal.runtime.budgets import Allowance, TooManyRequests
from heygen_portal.runtime.in_thread import in_thread

SCHEME = "bearer "
# Key of the scopes in an operation's entry of the schema.
SCOPES_KEY = "x-scopes"
COSTS_MONEY_KEY = "x-costs-money"

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
Run = Callable[..., Awaitable[HttpResponseBase]]


class ApiRequest(HttpRequest):
    """A request whose key has been checked."""

    caller: Caller


class Operations:
    """The operations of one subject."""

    def __init__(self, subject: str, router: Router | None = None) -> None:
        """Operations on the same path, with other methods, need the same `router`."""
        self.subject = subject
        self.router = router or Router()

    def get(self, path: str, *, scopes: Collection[Scope], response: Any) -> Callable[[F], F]:
        """Register an operation that changes nothing. Its answers have an ETag."""
        return self._register("GET", path, scopes, response, costs_money=False)

    def post(
        self,
        path: str,
        *,
        scopes: Collection[Scope],
        response: Any,
        costs_money: bool = False,
        takes: Mapping[str, Any] | None = None,
    ) -> Callable[[F], F]:
        """Register an operation. One that costs money takes an `Idempotency-Key`.

        `takes` has the schemas of a body that the operation reads itself, by their content types: see `body_of`.
        """
        return self._register("POST", path, scopes, response, costs_money=costs_money, takes=takes)

    def put(
        self, path: str, *, scopes: Collection[Scope], response: Any, takes: Mapping[str, Any] | None = None
    ) -> Callable[[F], F]:
        return self._register("PUT", path, scopes, response, costs_money=False, takes=takes)

    def delete(self, path: str, *, scopes: Collection[Scope], response: Any) -> Callable[[F], F]:
        return self._register("DELETE", path, scopes, response, costs_money=False)

    def _register(
        self,
        method: str,
        path: str,
        scopes: Collection[Scope],
        response: Any,
        *,
        costs_money: bool,
        takes: Mapping[str, Any] | None = None,
    ) -> Callable[[F], F]:
        wanted = frozenset(scopes)
        assert wanted  # deny first: no operation is open to every key
        contents = {kind: {"schema": schema} for kind, schema in (takes or {}).items()}
        body = {"requestBody": {"content": contents, "required": True}} if contents else {}

        def register(function: F) -> F:
            lines = (function.__doc__ or "").strip().splitlines()
            self.router.api_operation(
                [method],
                path,
                response=response,
                operation_id=function.__name__,
                summary=lines[0].rstrip("."),
                description="\n".join(line.strip() for line in lines[2:]) or None,
                url_name=function.__name__,
                tags=[self.subject],
                openapi_extra={SCOPES_KEY: sorted(wanted), COSTS_MONEY_KEY: costs_money} | body,
            )(function)
            operation: Any = cast(Any, function)._ninja_operation
            decorator = _served(wanted, costs_money)
            operation.run = decorator(operation.run)
            operation._run_decorators = [decorator]  # ninja applies them to its copy of the operation
            return function

        return register


def body_of(request: HttpRequest, most: int, *types: str) -> bytes:
    """Return a body of one of these content types, and of at most so many bytes. Raises Problem."""
    if request.content_type not in types:
        raise problems.wrong_content_type(*types)
    body: bytes = request.read(most + 1)
    if len(body) > most:
        raise problems.body_too_large()
    return body


def _served(wanted: frozenset[Scope], costs_money: bool) -> Callable[[Run], Run]:
    def decorate(run: Run) -> Run:
        @wraps(run)
        async def served(request: ApiRequest, **arguments: Any) -> HttpResponseBase:
            return await _serve(request, wanted, costs_money, lambda: run(request, **arguments))

        return served

    return decorate


async def _serve(
    request: ApiRequest, wanted: frozenset[Scope], costs_money: bool, run: Callable[[], Awaitable[HttpResponseBase]]
) -> HttpResponseBase:
    """Answer a request: check its key and limits, then run the operation, or repeat a stored answer."""
    allowance: Allowance | None = None
    try:
        address = client_address.of(request)
        key, admitted = await _enter(request, address, wanted)
        allowance = await _spend(key, address)
        if isinstance(admitted, ScopeMissing):
            raise admitted
        request.caller = admitted
        answer = await (_run_to_its_end(_run_once(request, run)) if costs_money else run())
    except Problem as exc:
        answer = problems.response(exc)
    except KeyRefused as exc:
        answer = problems.response(problems.of_key(exc))
    except ScopeMissing as exc:
        answer = problems.response(problems.of_scope(exc))
    except TooManyRequests as exc:
        answer = problems.response(problems.too_many_requests(exc))
    except RequestDataTooBig:
        answer = problems.response(problems.body_too_large())
    except (OperationalError, InterfaceError):
        answer = problems.response(problems.storage_away())
    if allowance:
        _add_rate_limit(answer, allowance)
    return _conditional(request, answer)


async def _enter(
    request: HttpRequest, address: str | None, wanted: frozenset[Scope]
) -> tuple[ApiKey, Caller | ScopeMissing]:
    """Return the request's key, and whether it is admitted. Cookies count for nothing.

    Raises Problem, KeyRefused, TooManyRequests.
    """
    given = request.headers.get("Authorization", "")
    try:
        if not given.lower().startswith(SCHEME):
            raise problems.key_missing()
        return await in_thread(callers.enter)(given[len(SCHEME) :].strip(), address, wanted)
    except (Problem, KeyRefused):
        await budgets.spend("api_refused", address=address)
        raise


async def _spend(key: ApiKey, address: str | None) -> Allowance:
    await budgets.spend("api", address=address)
    return await budgets.spend_at_rate("api", f"{max(1, int(key.per_minute))}/minute", key=key.pk)


async def _run_to_its_end(work: Coroutine[Any, Any, HttpResponseBase]) -> HttpResponseBase:
    """Finish what costs money even if the caller disconnects: its outcome is stored for the next attempt."""
    running: asyncio.Future[HttpResponseBase] = asyncio.ensure_future(work)
    background.keep(running)
    return await asyncio.shield(running)


async def _run_once(request: ApiRequest, run: Callable[[], Awaitable[HttpResponseBase]]) -> HttpResponseBase:
    """Run an operation that costs money, unless its `Idempotency-Key` was used before.

    A refusal is forgotten, so that the request can be repeated. After an unexpected error, or if the database went
    away, nobody knows what was done: the key stays used.
    """
    begun = await in_thread(idempotency.begin)(request, request.caller)
    if not isinstance(begun, Attempt):
        return begun or await run()
    answer = await run()
    if isinstance(answer, HttpResponse) and answer.status_code < 300:
        await in_thread(begun.finish)(answer)
    elif not problems.is_unclear(answer):
        await in_thread(begun.forget)()
    return answer


def _add_rate_limit(answer: HttpResponseBase, allowance: Allowance) -> None:
    """Add the headers of the IETF draft "RateLimit header fields for HTTP"."""
    answer.headers["RateLimit-Policy"] = f'"key";q={allowance.limit};w={allowance.window_seconds}'
    answer.headers["RateLimit"] = f'"key";r={allowance.left};t={allowance.reset_seconds}'


def _conditional(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    """Add an ETag to a result, and leave out a body that the caller has already."""
    answer.headers.setdefault("Cache-Control", "private, no-cache" if request.method == "GET" else "no-store")
    if request.method != "GET" or answer.status_code != 200 or not isinstance(answer, HttpResponse):
        return answer
    tag = f'"{hashlib.sha256(answer.content).hexdigest()[:32]}"'
    answer.headers["ETag"] = tag
    known = [one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")]
    if tag in known or known == ["*"]:
        answer.status_code, answer.content = 304, b""
        del answer.headers["Content-Type"]
    return answer
