"""The ASGI application: HTTP and WebSocket.

Served by `python -m heygen_portal.server`.
"""

import asyncio
import gc
import json
import os
from functools import partial
from typing import Any

from heygen_portal import production
from heygen_portal.server.pages import application as get_page_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heygen_portal.settings")
pages = get_page_application()  # sets up Django; models can be imported from here on
production.refuse_unsafe_settings()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from heygen_portal.env import env
from heygen_portal.health import access, readiness
from heygen_portal.people.access.second_factor import SecondFactorSocketMiddleware
from heygen_portal.postgresql import base as postgresql
from heygen_portal.postgresql import clock
from heygen_portal.runtime import background, logs, tracing
from heygen_portal.runtime.metrics import snapshots
from heygen_portal.server.origins import OwnOriginMiddleware
from heygen_portal.server.request_limiter import RequestLimiter
from sessions.actions import limits_cover
from sessions.embed.guest_consumer import GuestConsumer
from sessions.health import metrics_page, watch, work
from sessions.models import Purpose
from sessions.staff.board_consumer import BoardConsumer
from sessions.web.session_consumer import SessionConsumer

# Hashing a password deliberately uses a third of a second of CPU time.
DATABASE_TIMEOUT_S = 5.0
SIGN_IN_PATHS = ("/accounts/", "/admin/login/")
sign_in_limiter = RequestLimiter(4)
request_limiter = RequestLimiter(env.int("REQUESTS_AT_ONCE", 20))
# Programs wait for providers and in the queue. Their requests hold no thread meanwhile, and keep no page waiting.
API_PREFIXES = ("/api/", "/brain/")
api_limiter = RequestLimiter(200)
LIVE_PATHS = ("/health", "/health/live")
READY_PATH = "/health/ready"
WORK_PATH = "/health/work"
METRICS_PATH = "/metrics"


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Run a request to its end even if the server shuts down.

    Its thread may be waiting for this event loop. If it were cancelled, the thread would wait forever, and so would the
    process.
    """
    if scope["method"] in ("GET", "HEAD"):
        # Answered without Django, whose threads may all be busy.
        if scope["path"] in LIVE_PATHS:
            await send_json(send, 200, {"status": "ok"})
            return
        if scope["path"] == READY_PATH:
            states = await readiness.check()
            is_ready = all(state == readiness.OK for state in states.values())
            await send_json(send, 200 if is_ready else 503, states)
            return
        if scope["path"] in (WORK_PATH, METRICS_PATH):
            if not access.is_allowed(scope):
                await send_json(send, 403, {"status": "forbidden"})
                return
            if scope["path"] == METRICS_PATH:
                await send_bytes(send, 200, await metrics_page.content(), metrics_page.CONTENT_TYPE)
                return
            report = await work.check()
            await send_json(send, 503 if report["status"] == "failing" else 200, report)
            return
    background.on_shutdown(background.finish)
    is_sign_in = scope["method"] == "POST" and scope["path"].startswith(SIGN_IN_PATHS)
    limiter = sign_in_limiter if is_sign_in else request_limiter
    if scope["path"].startswith(API_PREFIXES):
        limiter = api_limiter
    with logs.bound(request=logs.new_request_id()), tracing.span("http", method=scope["method"]):
        await asyncio.shield(background.spawn(limiter.run(pages, scope, receive, send)))


async def send_json(send: Any, status: int, content: dict[str, Any]) -> None:
    """Answer a request with `content` as JSON, which no cache may keep."""
    await send_bytes(send, status, json.dumps(content).encode(), "application/json")


async def send_bytes(send: Any, status: int, body: bytes, content_type: str) -> None:
    """Answer a request with `body`, which no cache may keep."""
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


trial = SessionConsumer.as_asgi(purpose=Purpose.TRIAL)
route: Any = path  # Django's stubs do not accept Channels' applications
routes = [
    route("ws/personas/<slug:persona>/", SessionConsumer.as_asgi()),
    route("ws/personas/<slug:persona>/trial/", trial),
    route("ws/embed/<slug:public_id>/", GuestConsumer.as_asgi()),
    route("ws/board/", BoardConsumer.as_asgi()),
]
websocket = URLRouter(routes)

application = ProtocolTypeRouter(
    {
        "http": http,
        # Pages of other origins must not open a socket with this user's cookies.
        "websocket": OwnOriginMiddleware(AuthMiddlewareStack(SecondFactorSocketMiddleware(websocket))),
    }
)

background.on_startup(lambda: postgresql.limit_waits(DATABASE_TIMEOUT_S))
background.on_startup(clock.follow)
background.on_startup(watch.start)
background.on_startup(partial(tracing.start, "web"))
background.on_startup(limits_cover.start)
background.on_startup(partial(snapshots.start, "web"))

# Exclude all imported objects from garbage collection. Walking them every few thousand messages would pause every
# request for a tenth of a second.
gc.collect()
gc.freeze()
