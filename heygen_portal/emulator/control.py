"""`/_emulator/`: sessions watched, time moved, things broken. For this machine only, and only if asked for."""

import asyncio
import ipaddress
from importlib import resources
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from heygen_portal.emulator.answers import read_object
from heygen_portal.emulator.breaking import CONTROL, Control, break_calls
from heygen_portal.emulator.faults import KINDS, SESSION_KINDS, mend, spoil
from heygen_portal.emulator.keys import STUDIO
from heygen_portal.emulator.store import Session
from heygen_portal.emulator.video import FILMS
from heygen_portal.emulator.webhooks import WEBHOOKS

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
    app[STUDIO].spoil = control.faults.on_new_session
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
    studio = request.app[STUDIO]
    known = list(reversed(studio.store.sessions.values()))
    shown = known if request.query.get("all") == "1" else [session for session in known if session.is_open]
    asked = [session.id for session in shown if session.is_open]  # one may end while LiveKit is asked
    in_room = dict(zip(asked, await asyncio.gather(*map(studio.rooms.people, asked)), strict=True))
    return web.json_response({"sessions": [_seen(request, session, in_room.get(session.id)) for session in shown]})


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
    studio = request.app[STUDIO]
    studio.clock.move(seconds)
    await studio.end_due()
    return _clock(request)


@routes.get("/_emulator/rules")
async def rules(request: web.Request) -> web.Response:
    return web.json_response(vars(request.app[STUDIO].store.rules))


@routes.post("/_emulator/rules")
async def change_rules(request: web.Request) -> web.Response:
    store = request.app[STUDIO].store
    store.rules = store.rules.changed(**await read_object(request))
    return web.json_response(vars(store.rules))


@routes.get("/_emulator/faults")
async def faults(request: web.Request) -> web.Response:
    book = request.app[CONTROL].faults.book
    return web.json_response({"faults": [fault.as_json() for fault in book.values()], "kinds": KINDS})


@routes.post("/_emulator/faults")
async def add_fault(request: web.Request) -> web.Response:
    """Order a fault. One for a session that runs, or for the account, shows at once."""
    control, studio = request.app[CONTROL], request.app[STUDIO]
    fault = control.faults.add(await read_object(request))
    if fault.kind in SESSION_KINDS and fault.session:
        control.faults.remove(fault.id)
        session = studio.store.sessions.get(fault.session)
        if session is None or session.id not in studio.stages:
            raise ValueError("no such session is open")
        spoil(fault, session, studio.stages[session.id])
    elif fault.kind == "room_deleted":
        control.faults.remove(fault.id)
        everyone = [session.id for session in studio.store.open_sessions()]
        await asyncio.gather(*(studio.rooms.delete(room) for room in everyone if fault.session in ("", room)))
    await _account(request)
    return web.json_response(fault.as_json())


@routes.delete("/_emulator/faults")
async def clear_faults(request: web.Request) -> web.Response:
    """Mend everything, sessions that run among it."""
    request.app[CONTROL].faults.clear()
    for session in request.app[STUDIO].store.open_sessions():
        _mend(request, session)
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
    _mend(request, _session(request))
    return web.json_response({})


@routes.post("/_emulator/sessions/{id}/end")
async def end_session(request: web.Request) -> web.Response:
    """End a session as the service itself would, for a reason nobody was told of."""
    await request.app[STUDIO].end(_session(request), "provider")
    return web.json_response({})


@routes.post("/_emulator/reset")
async def reset(request: web.Request) -> web.Response:
    """As freshly started: no sessions, faults, requests, films, webhooks; clock, rules and catalogue as they were."""
    control, studio = request.app[CONTROL], request.app[STUDIO]
    control.faults.clear()
    control.requests.clear()
    request.app[FILMS].clear()
    request.app[WEBHOOKS].endpoints.clear()
    await studio.reset(control.started_with)
    return web.json_response({})


async def _account(request: web.Request) -> None:
    """Bring the account's quota and limit in line with the faults in force."""
    control, studio = request.app[CONTROL], request.app[STUDIO]
    kinds = {fault.kind for fault in control.faults.book.values()}
    store = studio.store
    store.is_broke = "quota_gone" in kinds
    store.is_full = "limit_reached" in kinds
    await studio.end_due()


def _session(request: web.Request) -> Session:
    session = request.app[STUDIO].store.sessions.get(request.match_info["id"])
    if session is None:
        raise ValueError("no such session")
    return session


def _mend(request: web.Request, session: Session) -> None:
    studio = request.app[STUDIO]
    if stage := studio.stages.get(session.id):
        mend(session, stage)
        studio.connect_if_complete(session)


def _clock(request: web.Request) -> web.Response:
    clock = request.app[STUDIO].clock
    return web.json_response({"now": clock.now(), "moved_by": clock.offset})


def _seen(request: web.Request, session: Session, people: list[str] | None) -> dict[str, Any]:
    store = request.app[STUDIO].store
    stage = request.app[STUDIO].stages.get(session.id)
    now = store.clock.now()
    return {
        "session_id": session.id,
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
