"""Django's handler of requests, without the garbage that it leaves behind."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.db import connections


class PageHandler(ASGIHandler):
    """Free each answer as soon as it is sent, and each database connection as soon as the answer is made.

    Django waits for a disconnection in a task that ends with an exception. Its traceback refers to the frame that
    holds the task, so the answer and its lines stay until the garbage collector comes, which counts objects and not
    bytes: a hundred megabytes for a few dozen large pages.
    """

    async def run_get_response(self, request: Any) -> Any:
        """Return the answer, and close the connection that made it.

        Django gives each request a thread of its own, so no other request can use that connection. Left open it
        would stay until the garbage collector comes, with a few megabytes of cached pages on SQLite and one of the
        server's places on PostgreSQL.
        """
        try:
            return await super().run_get_response(request)
        finally:
            await sync_to_async(connections.close_all)()

    async def listen_for_disconnect(self, receive: Any) -> None:
        """Return once the client is gone: Django's own raises, and its caller treats both in the same way."""
        with suppress(RequestAborted):
            await super().listen_for_disconnect(receive)


def application() -> PageHandler:
    """Set Django up and return its application, as `get_asgi_application` does."""
    django.setup(set_prefix=False)
    return PageHandler()
