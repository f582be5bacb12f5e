"""Large responses and database connections are freed without garbage collection."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Mapping
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest, HttpResponse

from heygen_portal.server.pages import PageHandler

SCOPE = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}


class Handler(PageHandler):
    answer: weakref.ref[HttpResponse]

    async def run_get_response(self, request: HttpRequest) -> HttpResponse:
        response = HttpResponse(b"x" * 100_000)
        self.answer = weakref.ref(response)
        return response


class QueryingHandler(PageHandler):
    used: BaseDatabaseWrapper

    async def get_response_async(self, request: HttpRequest) -> HttpResponse:
        return await sync_to_async(self.view)()

    def view(self) -> HttpResponse:
        self.used = connections["default"]
        with self.used.cursor() as cursor:
            cursor.execute("SELECT 1")
        assert self.used.connection
        return HttpResponse(b"x")


class FailingHandler(QueryingHandler):
    def view(self) -> HttpResponse:
        super().view()
        raise LookupError


@pytest.mark.django_db(transaction=True)
async def test_a_requests_database_connection_is_closed_before_the_response() -> None:
    handler = QueryingHandler()
    is_open: list[bool] = []
    messages = iter([{"type": "http.request"}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        return await asyncio.Future[dict[str, Any]]()

    async def send(message: Mapping[str, Any]) -> None:
        is_open.append(handler.used.connection is not None)

    await handler(SCOPE, receive, send)
    assert is_open == [False, False]


@pytest.mark.django_db(transaction=True)
async def test_a_failed_requests_database_connection_is_closed() -> None:
    handler = FailingHandler()
    with pytest.raises(LookupError):
        async with ThreadSensitiveContext():
            await handler.run_get_response(HttpRequest())
    assert handler.used.connection is None


@pytest.mark.django_db(transaction=True)
async def test_a_response_is_freed_once_it_is_sent() -> None:
    is_sent = asyncio.Event()
    has_body = True

    async def receive() -> dict[str, Any]:
        nonlocal has_body
        if has_body:
            has_body = False
            return {"type": "http.request"}
        await is_sent.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            is_sent.set()
            await asyncio.sleep(0)  # let the disconnection arrive first, as with a server

    handler = Handler()
    gc.disable()
    try:
        await handler(SCOPE, receive, send)
        assert handler.answer() is None
    finally:
        gc.enable()
