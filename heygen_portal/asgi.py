"""HTTP and WebSocket, one door each. `python -m heygen_portal.server` serves it."""

import asyncio
import gc
import os
from typing import Any

from heygen_portal import production
from heygen_portal.server.pages import application as get_page_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heygen_portal.settings")
pages = get_page_application()  # sets Django up; models can be imported from here on
production.refuse_default_secrets()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from heygen_portal.env import env
from heygen_portal.people.access.second_factor import SecondFactorSocketMiddleware
from heygen_portal.runtime import background
from heygen_portal.server.origins import OwnOriginMiddleware
from heygen_portal.server.request_limiter import RequestLimiter
from sessions.models import Purpose
from sessions.staff.board_consumer import BoardConsumer
from sessions.web.session_consumer import SessionConsumer

# Checking a password keeps a processor busy for a third of a second, on purpose.
SIGN_IN_PATHS = ("/accounts/", "/admin/login/")
sign_in_limiter = RequestLimiter(4)
request_limiter = RequestLimiter(env.int("REQUESTS_AT_ONCE", 20))
HEALTH_PATH = "/health"
HEALTH_BODY = b'{"status": "ok"}'
HEALTH_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(HEALTH_BODY)).encode()),
    (b"cache-control", b"no-store"),
]


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Let the server, which ends, hear out a request that is under way.

    Its thread may be waiting for this event loop: given up, it would wait for ever, and the process with it.
    """
    if scope["path"] == HEALTH_PATH and scope["method"] in ("GET", "HEAD"):
        # Not by Django: its threads may be busy with what others ask for.
        await send({"type": "http.response.start", "status": 200, "headers": HEALTH_HEADERS})
        await send({"type": "http.response.body", "body": HEALTH_BODY})
        return
    background.on_shutdown(background.finish)
    is_sign_in = scope["method"] == "POST" and scope["path"].startswith(SIGN_IN_PATHS)
    limiter = sign_in_limiter if is_sign_in else request_limiter
    await asyncio.shield(background.spawn(limiter.run(pages, scope, receive, send)))


trial = SessionConsumer.as_asgi(purpose=Purpose.TRIAL)
route: Any = path  # Django's stubs do not know Channels' applications
routes = [
    route("ws/personas/<slug:persona>/", SessionConsumer.as_asgi()),
    route("ws/personas/<slug:persona>/trial/", trial),
    route("ws/board/", BoardConsumer.as_asgi()),
]
websocket = URLRouter(routes)

application = ProtocolTypeRouter(
    {
        "http": http,
        # A page of another origin may not open a socket with this person's cookies.
        "websocket": OwnOriginMiddleware(AuthMiddlewareStack(SecondFactorSocketMiddleware(websocket))),
    }
)

# What has been imported by now is no garbage. The collector would walk it all every few thousand messages, and
# everybody would wait for a tenth of a second.
gc.collect()
gc.freeze()
