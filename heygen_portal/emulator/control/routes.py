"""Control routes below `/_emulator/`: sessions, clock and faults.

Loopback only, with --control.
"""

import asyncio
import ipaddress
from importlib import resources
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from heygen_portal.emulator.control.fault_middleware import CONTROL, Control, inject_faults
from heygen_portal.emulator.control.faults import KINDS, SESSION_KINDS, apply_fault, remove_faults
from heygen_portal.emulator.heygen.responses import read_object
from heygen_portal.emulator.heygen.service import HEYGEN
from heygen_portal.emulator.heygen.video_routes import VIDEOS
from heygen_portal.emulator.heygen.webhooks import WEBHOOKS
from heygen_portal.emulator.liveavatar.service import LIVEAVATAR, LiveAvatarService
from heygen_portal.emulator.sessions.runner import SessionService
from heygen_portal.emulator.sessions.store import Session

routes = web.RouteTableDef()

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
PAGE: Final = resources.files("heygen_portal.emulator") / "page"
PAGE_FILES: Final = {
    "": "text/html",
    "control.css": "text/css",
    "control.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def add_control(app: web.Application) -> None:
    """Add `/_emulator/`, the request log and fault injection.

    Their middlewares come right after the response middleware, before credentials are checked.
    """
    app[CONTROL] = control = Control(app[HEYGEN].store.rules)
    app[HEYGEN].on_new_session = app[LIVEAVATAR].on_new_session = control.faults.on_new_session
    app.middlewares[1:1] = [_guard, inject_faults]
    app.add_routes(routes)


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other machines, and web pages of other sites."""
    if not request.path.startswith("/_emulator"):
        return await handler(request)
    name = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    is_near = request.remote is not None and ipaddress.ip_address(request.remote).is_loopback
    if not is_near or name not in LOOPBACK:
        raise web.HTTPNotFound
    if request.method == "POST" and request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType  # a form on another site can send any type but this
    try:
        return await handler(request)
    except ValueError as exc:
        return web.json_response({"error": str(exc)}, status=400)


@routes.get("/_emulator/{name:|control.css|control.js|icon.svg}")
async def page(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    text = (PAGE / (name or "index.html")).read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "no-cache"}
    return web.Response(text=text, content_type=PAGE_FILES[name], charset="utf-8", headers=headers)


@routes.get("/_emulator/sessions")
async def sessions(request: web.Request) -> web.Response:
    known = [(service, session) for service in _services(request) for session in service.store.sessions.values()]
    known.sort(key=lambda pair: pair[1].created_at, reverse=True)
    shown = known if request.query.get("all") == "1" else [pair for pair in known if pair[1].is_open]
    asked = [session.id for _, session in shown if session.is_open]  # a session may end during the calls to LiveKit
    in_room = dict(zip(asked, await asyncio.gather(*map(request.app[HEYGEN].rooms.participants, asked)), strict=True))
    return web.json_response(
        {"sessions": [_session_json(service, session, in_room.get(session.id)) for service, session in shown]}
    )


@routes.get("/_emulator/requests")
async def requests(request: web.Request) -> web.Response:
    return web.json_response({"requests": list(request.app[CONTROL].requests)})


@routes.get("/_emulator/clock")
async def clock(request: web.Request) -> web.Response:
    return _clock(request)


@routes.post("/_emulator/clock")
async def move_clock(request: web.Request) -> web.Response:
    """Move the clock by `{"move": seconds}`. Responds after due sessions have ended."""
    seconds = (await read_object(request)).get("move")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not abs(seconds) <= 366 * 86400:
        raise ValueError("move is a number of seconds, at most a year's")
    request.app[HEYGEN].clock.move(seconds)  # shared with LiveAvatar
    await _end_due(request)
    return _clock(request)


@routes.get("/_emulator/rules")
async def rules(request: web.Request) -> web.Response:
    return web.json_response(vars(request.app[HEYGEN].store.rules))


@routes.post("/_emulator/rules")
async def change_rules(request: web.Request) -> web.Response:
    rules = request.app[HEYGEN].store.rules.with_changes(**await read_object(request))
    request.app[HEYGEN].store.rules, request.app[LIVEAVATAR].store.rules = rules, rules.liveavatar()
    return web.json_response(vars(rules))


@routes.get("/_emulator/faults")
async def faults(request: web.Request) -> web.Response:
    active = request.app[CONTROL].faults.active
    return web.json_response({"faults": [fault.as_json() for fault in active.values()], "kinds": KINDS})


@routes.post("/_emulator/faults")
async def add_fault(request: web.Request) -> web.Response:
    """Add a fault. Faults of a running session or of the account apply at once."""
    control, rooms = request.app[CONTROL], request.app[HEYGEN].rooms
    fault = control.faults.add(await read_object(request))
    if fault.kind in SESSION_KINDS and fault.session:
        control.faults.remove(fault.id)
        owners = [service for service in _services(request) if fault.session in service.runtimes]
        if not owners:
            raise ValueError("no such session is open")
        apply_fault(fault, owners[0].store.sessions[fault.session], owners[0].runtimes[fault.session])
    elif fault.kind == "room_deleted":
        control.faults.remove(fault.id)
        everyone = [session.id for service in _services(request) for session in service.store.open_sessions()]
        await asyncio.gather(*(rooms.delete(room) for room in everyone if fault.session in ("", room)))
    await _account(request)
    return web.json_response(fault.as_json())


@routes.delete("/_emulator/faults")
async def clear_faults(request: web.Request) -> web.Response:
    """Remove all faults, including those of running sessions."""
    request.app[CONTROL].faults.clear()
    for service in _services(request):
        for session in service.store.open_sessions():
            _remove_faults(service, session)
    await _account(request)
    return web.json_response({"faults": []})


@routes.delete(r"/_emulator/faults/{id:\d{1,9}}")
async def remove_fault(request: web.Request) -> web.Response:
    if request.app[CONTROL].faults.remove(int(request.match_info["id"])) is None:
        raise ValueError("no such fault")
    await _account(request)
    return web.json_response({})


@routes.delete("/_emulator/sessions/{id}/faults")
async def remove_session_faults(request: web.Request) -> web.Response:
    _remove_faults(*_session(request))
    return web.json_response({})


@routes.post("/_emulator/sessions/{id}/end")
async def end_session(request: web.Request) -> web.Response:
    """End a session as the service would, without a reason given to clients."""
    service, session = _session(request)
    await service.end(session, "provider")
    return web.json_response({})


@routes.post("/_emulator/sessions/{id}/command")
async def command(request: web.Request) -> web.Response:
    """Send a command as a client would on LiveAvatar's command topic.

    Without media there is no room to publish it in.
    """
    service, session = _session(request)
    if not isinstance(service, LiveAvatarService) or not session.is_open:
        raise ValueError("no such session of LiveAvatar is open")
    service.command(session, await read_object(request))
    return web.json_response({})


@routes.post("/_emulator/reset")
async def reset(request: web.Request) -> web.Response:
    """Remove sessions, faults, logged requests, videos and webhooks.

    Reset clock, rules and catalogue.
    """
    control = request.app[CONTROL]
    control.faults.clear()
    control.requests.clear()
    request.app[VIDEOS].clear()
    request.app[WEBHOOKS].endpoints.clear()
    for service in _services(request):
        await service.reset(control.initial_rules)
    return web.json_response({})


async def _account(request: web.Request) -> None:
    """Apply account faults to quota and session limit."""
    kinds = {fault.kind for fault in request.app[CONTROL].faults.active.values()}
    for service in _services(request):
        service.store.is_quota_exhausted = "quota_gone" in kinds
        service.store.is_limit_reached = "limit_reached" in kinds
    await _end_due(request)


def _services(request: web.Request) -> tuple[SessionService, ...]:
    return request.app[HEYGEN], request.app[LIVEAVATAR]


async def _end_due(request: web.Request) -> None:
    await asyncio.gather(*(service.end_due() for service in _services(request)))


def _session(request: web.Request) -> tuple[SessionService, Session]:
    for service in _services(request):
        if session := service.store.sessions.get(request.match_info["id"]):
            return service, session
    raise ValueError("no such session")


def _remove_faults(service: SessionService, session: Session) -> None:
    if runtime := service.runtimes.get(session.id):
        remove_faults(session, runtime)
        service.connect_if_complete(session)


def _clock(request: web.Request) -> web.Response:
    clock = request.app[HEYGEN].clock
    return web.json_response({"now": clock.now(), "moved_by": clock.offset})


def _session_json(service: SessionService, session: Session, participants: list[str] | None) -> dict[str, Any]:
    store, runtime = service.store, service.runtimes.get(session.id)
    now = store.clock.now()
    return {
        "session_id": session.id,
        "service": service.NAME,
        "state": session.state,
        "avatar_id": session.options.avatar.avatar_id,
        "quality": session.options.quality,
        "created_at": session.created_at,
        "duration": round((session.ended_at or now) - session.created_at, 3),  # the real duration, whatever is billed
        "ends_in": round(store.deadline(session)[0] - now, 3) if session.is_open else None,
        "end_reason": session.end_reason,
        "tasks": session.tasks,
        "in_room": participants,
        "sockets": len(runtime.listeners) if runtime else 0,
        "faults": (vars(runtime.faults) | {"never_connects": runtime.never_connects}) if runtime else {},
    }
