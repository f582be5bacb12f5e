"""`/_emulator/`: sessions watched, time moved, things broken. For this machine only, and only if asked for."""

import asyncio
import ipaddress
from importlib import resources
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from heygen_portal.emulator.control.fault_middleware import CONTROL, Control, break_calls
from heygen_portal.emulator.control.faults import KINDS, SESSION_KINDS, mend, spoil
from heygen_portal.emulator.heygen.responses import read_object
from heygen_portal.emulator.heygen.service import STUDIO
from heygen_portal.emulator.heygen.video_routes import FILMS
from heygen_portal.emulator.heygen.webhooks import WEBHOOKS
from heygen_portal.emulator.liveavatar.service import LIVE, LiveStudio
from heygen_portal.emulator.sessions.runner import Staging
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
    """Open `/_emulator/`, and put the log and the faults right behind the door, before credentials are looked at."""
    app[CONTROL] = control = Control(app[STUDIO].store.rules)
    app[STUDIO].spoil = app[LIVE].spoil = control.faults.on_new_session
    app.middlewares[1:1] = [_guard, break_calls]
    app.add_routes(routes)


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn away other machines, and web pages that would reach this one through a person's browser."""
    if not request.path.startswith("/_emulator"):
        return await handler(request)
    name = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    is_near = request.remote is not None and ipaddress.ip_address(request.remote).is_loopback
    if not is_near or name not in LOOPBACK:
        raise web.HTTPNotFound
    if request.method == "POST" and request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType  # a form on a stranger's page can post anything but this
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
    known = [(studio, session) for studio in _studios(request) for session in studio.store.sessions.values()]
    known.sort(key=lambda pair: pair[1].created_at, reverse=True)
    shown = known if request.query.get("all") == "1" else [pair for pair in known if pair[1].is_open]
    asked = [session.id for _, session in shown if session.is_open]  # one may end while LiveKit is asked
    in_room = dict(zip(asked, await asyncio.gather(*map(request.app[STUDIO].rooms.people, asked)), strict=True))
    return web.json_response(
        {"sessions": [_seen(studio, session, in_room.get(session.id)) for studio, session in shown]}
    )


@routes.get("/_emulator/requests")
async def requests(request: web.Request) -> web.Response:
    return web.json_response({"requests": list(request.app[CONTROL].requests)})


@routes.get("/_emulator/clock")
async def clock(request: web.Request) -> web.Response:
    return _clock(request)


@routes.post("/_emulator/clock")
async def move_clock(request: web.Request) -> web.Response:
    """`{"move": seconds}`; answers once what is due by then has ended."""
    seconds = (await read_object(request)).get("move")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not abs(seconds) <= 366 * 86400:
        raise ValueError("move is a number of seconds, at most a year's")
    request.app[STUDIO].clock.move(seconds)  # which is LiveAvatar's, too
    await _end_due(request)
    return _clock(request)


@routes.get("/_emulator/rules")
async def rules(request: web.Request) -> web.Response:
    return web.json_response(vars(request.app[STUDIO].store.rules))


@routes.post("/_emulator/rules")
async def change_rules(request: web.Request) -> web.Response:
    rules = request.app[STUDIO].store.rules.changed(**await read_object(request))
    request.app[STUDIO].store.rules, request.app[LIVE].store.rules = rules, rules.liveavatar()
    return web.json_response(vars(rules))


@routes.get("/_emulator/faults")
async def faults(request: web.Request) -> web.Response:
    book = request.app[CONTROL].faults.book
    return web.json_response({"faults": [fault.as_json() for fault in book.values()], "kinds": KINDS})


@routes.post("/_emulator/faults")
async def add_fault(request: web.Request) -> web.Response:
    """Order a fault. One for a session that runs, or for the account, shows at once."""
    control, rooms = request.app[CONTROL], request.app[STUDIO].rooms
    fault = control.faults.add(await read_object(request))
    if fault.kind in SESSION_KINDS and fault.session:
        control.faults.remove(fault.id)
        staged = [studio for studio in _studios(request) if fault.session in studio.stages]
        if not staged:
            raise ValueError("no such session is open")
        spoil(fault, staged[0].store.sessions[fault.session], staged[0].stages[fault.session])
    elif fault.kind == "room_deleted":
        control.faults.remove(fault.id)
        everyone = [session.id for studio in _studios(request) for session in studio.store.open_sessions()]
        await asyncio.gather(*(rooms.delete(room) for room in everyone if fault.session in ("", room)))
    await _account(request)
    return web.json_response(fault.as_json())


@routes.delete("/_emulator/faults")
async def clear_faults(request: web.Request) -> web.Response:
    """Mend everything, sessions that run among it."""
    request.app[CONTROL].faults.clear()
    for studio in _studios(request):
        for session in studio.store.open_sessions():
            _mend(studio, session)
    await _account(request)
    return web.json_response({"faults": []})


@routes.delete(r"/_emulator/faults/{id:\d{1,9}}")
async def remove_fault(request: web.Request) -> web.Response:
    if request.app[CONTROL].faults.remove(int(request.match_info["id"])) is None:
        raise ValueError("no such fault")
    await _account(request)
    return web.json_response({})


@routes.delete("/_emulator/sessions/{id}/faults")
async def mend_session(request: web.Request) -> web.Response:
    _mend(*_session(request))
    return web.json_response({})


@routes.post("/_emulator/sessions/{id}/end")
async def end_session(request: web.Request) -> web.Response:
    """End a session as the service itself would, for a reason nobody was told of."""
    studio, session = _session(request)
    await studio.end(session, "provider")
    return web.json_response({})


@routes.post("/_emulator/sessions/{id}/command")
async def command(request: web.Request) -> web.Response:
    """Say what a client would publish on LiveAvatar's topic of commands: without media there is no other way to."""
    studio, session = _session(request)
    if not isinstance(studio, LiveStudio) or not session.is_open:
        raise ValueError("no such session of LiveAvatar is open")
    studio.command(session, await read_object(request))
    return web.json_response({})


@routes.post("/_emulator/reset")
async def reset(request: web.Request) -> web.Response:
    """As freshly started: no sessions, faults, requests, films, webhooks; clock, rules and catalogue as they were."""
    control = request.app[CONTROL]
    control.faults.clear()
    control.requests.clear()
    request.app[FILMS].clear()
    request.app[WEBHOOKS].endpoints.clear()
    for studio in _studios(request):
        await studio.reset(control.started_with)
    return web.json_response({})


async def _account(request: web.Request) -> None:
    """Bring the account's quota and limit in line with the faults in force."""
    kinds = {fault.kind for fault in request.app[CONTROL].faults.book.values()}
    for studio in _studios(request):
        studio.store.is_broke = "quota_gone" in kinds
        studio.store.is_full = "limit_reached" in kinds
    await _end_due(request)


def _studios(request: web.Request) -> tuple[Staging, ...]:
    return request.app[STUDIO], request.app[LIVE]


async def _end_due(request: web.Request) -> None:
    await asyncio.gather(*(studio.end_due() for studio in _studios(request)))


def _session(request: web.Request) -> tuple[Staging, Session]:
    for studio in _studios(request):
        if session := studio.store.sessions.get(request.match_info["id"]):
            return studio, session
    raise ValueError("no such session")


def _mend(studio: Staging, session: Session) -> None:
    if stage := studio.stages.get(session.id):
        mend(session, stage)
        studio.connect_if_complete(session)


def _clock(request: web.Request) -> web.Response:
    clock = request.app[STUDIO].clock
    return web.json_response({"now": clock.now(), "moved_by": clock.offset})


def _seen(studio: Staging, session: Session, people: list[str] | None) -> dict[str, Any]:
    store, stage = studio.store, studio.stages.get(session.id)
    now = store.clock.now()
    return {
        "session_id": session.id,
        "service": studio.NAME,
        "state": session.state,
        "avatar_id": session.order.avatar.avatar_id,
        "quality": session.order.quality,
        "created_at": session.created_at,
        "duration": round((session.ended_at or now) - session.created_at, 3),  # the truth, whatever is billed
        "ends_in": round(store.deadline(session)[0] - now, 3) if session.is_open else None,
        "end_reason": session.end_reason,
        "tasks": session.tasks,
        "in_room": people,
        "sockets": len(stage.listeners) if stage else 0,
        "faults": (vars(stage.faults) | {"never_connects": stage.never_connects}) if stage else {},
    }
