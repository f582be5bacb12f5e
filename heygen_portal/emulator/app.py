"""The emulator as an aiohttp application: middlewares, credentials, routes."""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from heygen_portal.emulator.control.routes import add_control
from heygen_portal.emulator.error_responses import failure, refused
from heygen_portal.emulator.heygen import (
    account_routes,
    chat_socket,
    preview_routes,
    realtime_socket,
    session_routes,
    video_routes,
    webhooks,
)
from heygen_portal.emulator.heygen.service import CALLER, HEYGEN, HeyGenService
from heygen_portal.emulator.liveavatar import access as liveavatar_access
from heygen_portal.emulator.liveavatar import account_routes as live_account
from heygen_portal.emulator.liveavatar import lite_socket, model_routes
from heygen_portal.emulator.liveavatar import session_routes as live_session_routes
from heygen_portal.emulator.liveavatar.service import LIVEAVATAR, LiveAvatarService
from heygen_portal.emulator.liveavatar.states import is_liveavatar
from heygen_portal.emulator.openai import routes as openai_routes
from heygen_portal.emulator.openai.errors import is_openai
from heygen_portal.emulator.sessions.interfaces import PerformerFactory
from heygen_portal.emulator.sessions.rooms import LiveKit, Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import Refusal
from heygen_portal.emulator.sessions.store import Caller

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1024 * 1024
CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "authorization, content-type, x-api-key",
    "Access-Control-Max-Age": "600",
}
# Session tokens are valid for these paths; all others need the account's key.
TOKEN_PATHS: Final = ("/v1/streaming.", "/v1/realtime.")
KEY_ONLY_PATHS: Final = ("/v1/streaming.create_token", "/v1/streaming.list")


@dataclass(frozen=True)
class Config:
    """Settings of the emulator process.

    Settings of the emulated services are in `Rules`.
    """

    api_key: str = field(repr=False)
    rules: Rules = field(default_factory=Rules)
    livekit: LiveKit = field(default_factory=LiveKit)
    has_media: bool = True
    latency_s: float = 0.0  # added to every API response
    has_control: bool = False  # serve /_emulator/
    liveavatar_key: str = field(default="", repr=False)  # empty: the same as `api_key`


def create_app(config: Config, performer_factory: PerformerFactory) -> web.Application:
    """Create the application.

    `performer_factory` creates a performer for each session.
    """
    rooms = Rooms(config.livekit, has_server=config.has_media)
    service = HeyGenService(config.rules, rooms, performer_factory)
    app = web.Application(
        middlewares=[_response_middleware(config), _credentials(config)], client_max_size=MAX_BODY_BYTES
    )
    app[HEYGEN] = service
    app[LIVEAVATAR] = LiveAvatarService(config.rules, rooms, performer_factory, service.clock)
    app[liveavatar_access.RATE_LIMITER] = liveavatar_access.RateLimiter()
    app[video_routes.VIDEOS] = video_routes.Videos()
    app[webhooks.WEBHOOKS] = webhooks.Webhooks()
    app.router.add_get("/_health", _health)
    for module in (
        session_routes,
        account_routes,
        chat_socket,
        realtime_socket,
        video_routes,
        webhooks,
        preview_routes,
        live_session_routes,
        live_account,
        lite_socket,
        model_routes,
        openai_routes,
    ):
        app.router.add_routes(module.routes)
    if config.has_control:
        add_control(app)
    app.on_shutdown.append(_end_sessions)
    app.cleanup_ctx.extend((_run_services, video_routes.run_rendering))
    if config.has_media:
        app.cleanup_ctx.append(_draw_faces)
    return app


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _run_services(app: web.Application) -> AsyncIterator[None]:
    running = [asyncio.create_task(service.run()) for service in (app[HEYGEN], app[LIVEAVATAR])]
    yield
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def _draw_faces(app: web.Application) -> AsyncIterator[None]:
    """Draw the avatars in the background at first start; later starts use the cache."""
    from heygen_portal.emulator.face import sprites  # not loaded without media

    drawing = asyncio.create_task(sprites.prepare())
    yield
    drawing.cancel()
    with suppress(asyncio.CancelledError):
        await drawing


async def _end_sessions(app: web.Application) -> None:
    """End sessions before the server waits for its clients, so that sockets close."""
    await asyncio.gather(app[HEYGEN].close(), app[LIVEAVATAR].close())


def _response_middleware(config: Config) -> Middleware:
    """Convert refusals to error responses, add CORS headers and latency."""

    @web.middleware
    async def respond(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_service = not request.path.startswith("/_emulator")  # no other site may access /_emulator
        if request.method == "OPTIONS" and is_service:
            preflight = web.Response(status=204)
            _add_cors_headers(request, preflight)
            return preflight
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = refused(request.path, refusal)
        except web.HTTPException as exc:  # from aiohttp: unknown path or method, body too large
            response = failure(request.path, exc.status, exc.status, exc.reason)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            response = failure(request.path, 500, 500, "Internal error")
        if is_service and not response.prepared:
            _add_cors_headers(request, response)
            if config.latency_s and request.path.startswith(("/v1/", "/v2/")):
                await asyncio.sleep(config.latency_s)
        return response

    return respond


def _add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    if is_liveavatar(request.path):
        liveavatar_access.add_headers(request, response)
    else:
        response.headers.update(CORS)


def _credentials(config: Config) -> Middleware:
    """Authenticate API requests. Sockets and other paths check their own credentials."""

    @web.middleware
    async def credentials(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path
        if is_liveavatar(path):
            liveavatar_access.authorize(request, config.liveavatar_key or config.api_key)
        elif is_openai(path):
            openai_routes.authorize(request, config.api_key)
        elif path.startswith(("/v1/", "/v2/")) and not path.startswith("/v1/ws/"):
            request[CALLER] = caller = _caller(request, config)
            if not caller.is_account and (not path.startswith(TOKEN_PATHS) or path in KEY_ONLY_PATHS):
                raise Refusal("not_supported")
        return await handler(request)

    return credentials


def _caller(request: web.Request, config: Config) -> Caller:
    """Return the account or the bearer of a session token.

    `Authorization: Bearer` accepts both.
    """
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = request.headers.get("X-Api-Key") or (bearer.strip() if scheme.lower() == "bearer" else "")
    if hmac.compare_digest(given.encode("utf-8", "replace"), config.api_key.encode()):
        return Caller()
    if token := request.app[HEYGEN].store.tokens.get(given):
        return Caller(token)
    raise Refusal("unauthorized")
