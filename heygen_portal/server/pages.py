"""Django's request handler without its memory and connection leaks."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.db import connections


class PageHandler(ASGIHandler):
    """Frees responses once sent, and database connections once they are built.

    Django waits for a disconnection in a task that ends with an exception. The traceback refers to the frame that holds
    the task, so the response stays in memory until garbage collection, which counts objects and not bytes: a hundred
    megabytes for a few dozen large pages.
    """

    async def run_get_response(self, request: Any) -> Any:
        """Return the response and close the database connection that built it.

        Django runs each request in its own thread, so no other request can use that connection. Left open, it would
        hold a few megabytes of cache on SQLite or a connection slot on PostgreSQL until garbage collection.
        """
        try:
            return await super().run_get_response(request)
        finally:
            await sync_to_async(connections.close_all)()

    async def listen_for_disconnect(self, receive: Any) -> None:
        """Return once the client has disconnected.

        Django's method raises, which its caller treats the same.
        """
        with suppress(RequestAborted):
            await super().listen_for_disconnect(receive)


def application() -> PageHandler:
    """Set up Django and return its application, like `get_asgi_application`."""
    django.setup(set_prefix=False)
    return PageHandler()
