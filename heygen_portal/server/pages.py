"""Django's handler of requests, without the garbage that it leaves behind."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import django
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler


class PageHandler(ASGIHandler):
    """Frees each answer as soon as it is sent.

    Django waits for a disconnection in a task that ends with an exception. Its traceback refers to the frame that
    holds the task, so the answer, its lines and its database connection stay until the garbage collector comes, which
    counts objects and not bytes: a hundred megabytes for a few dozen large pages.
    """

    async def listen_for_disconnect(self, receive: Any) -> None:
        """Return once the client is gone: Django's own raises, and its caller treats both in the same way."""
        with suppress(RequestAborted):
            await super().listen_for_disconnect(receive)


def application() -> PageHandler:
    """Set Django up and return its application, as `get_asgi_application` does."""
    django.setup(set_prefix=False)
    return PageHandler()
