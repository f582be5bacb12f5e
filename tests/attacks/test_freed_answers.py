"""Large answers do not wait in memory for the garbage collector, which counts objects and not bytes."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Mapping
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse

from heygen_portal.server.pages import PageHandler


class Handler(PageHandler):
    answer: weakref.ref[HttpResponse]

    async def run_get_response(self, request: HttpRequest) -> HttpResponse:
        response = HttpResponse(b"x" * 100_000)
        self.answer = weakref.ref(response)
        return response


@pytest.mark.django_db(transaction=True)
async def test_an_answer_is_freed_as_soon_as_it_is_sent() -> None:
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
            await asyncio.sleep(0)  # the disconnection is heard first, as from a server

    handler = Handler()
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    gc.disable()
    try:
        await handler(scope, receive, send)
        assert handler.answer() is None
    finally:
        gc.enable()
