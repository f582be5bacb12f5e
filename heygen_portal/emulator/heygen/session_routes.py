"""Streaming routes: create, start, talk, list and stop sessions."""

import time
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from heygen_portal.emulator.heygen.responses import clean, ok, ok_v2, read_object, required_text
from heygen_portal.emulator.heygen.service import CALLER, HEYGEN
from heygen_portal.emulator.sessions.states import Refusal, State
from heygen_portal.emulator.sessions.store import Session

routes = web.RouteTableDef()

TASK_TYPES: Final = ("repeat", "talk", "chat")
TASK_MODES: Final = ("sync", "async")
MAX_PAGE_ROWS: Final = 100


@routes.post("/v1/streaming.create_token")
async def create_token(request: web.Request) -> web.Response:
    body = await read_object(request)
    session_id = required_text(body, "session_id") if body.get("session_id") is not None else None
    return ok_v2({"token": request.app[HEYGEN].store.new_token(session_id)})


@routes.post("/v1/streaming.new")
@routes.post("/v1/realtime.new")
async def new(request: web.Request) -> web.Response:
    service = request.app[HEYGEN]
    session = service.create_session(await read_object(request), request[CALLER])
    ours = session.options.own_room is None
    scheme = "wss" if request.secure else "ws"
    return ok(
        {
            "session_id": session.id,
            "url": service.rooms.url if ours else None,
            "access_token": await service.user_token(session) if ours else None,
            "livekit_agent_token": service.rooms.agent_token(session.id) if ours else None,
            "realtime_endpoint": f"{scheme}://{request.host}/v2-alpha/interactive-avatar/session/{session.id}",
            "session_duration_limit": int(service.store.rules.duration_s),
            "is_paid": True,
            "sdp": None,
            "ice_servers": None,
            "ice_servers2": None,
        }
    )


@routes.post("/v1/streaming.start")
@routes.post("/v1/realtime.start")
async def start(request: web.Request) -> web.Response:
    session, _ = await _session(request)
    request.app[HEYGEN].start(session)
    return ok({"status": session.state})


@routes.post("/v1/streaming.task")
async def task(request: web.Request) -> web.Response:
    service = request.app[HEYGEN]
    session, body = await _session(request)
    kind = _choice(body, "task_type", TASK_TYPES)
    mode = _choice(body, "task_mode", TASK_MODES)
    text = clean(required_text(body, "text"))
    if not text or len(text) > service.store.rules.text_limit:
        raise Refusal("invalid_text", f"1 to {service.store.rules.text_limit} characters")
    await service.look_for_user(session)
    if kind == "repeat":  # answers are short
        await service.prepare(session, text)
    spoken = service.speak(session, text, answer=kind != "repeat")
    if mode == "sync" and service.store.rules.sync_waits:
        await service.wait_until_spoken(session, spoken.task_id)
    return ok({"duration_ms": spoken.duration_ms, "task_id": spoken.task_id})


@routes.post("/v1/streaming.interrupt")
async def interrupt(request: web.Request) -> web.Response:
    session, _ = await _session(request)
    request.app[HEYGEN].interrupt(session)
    return ok()


@routes.post("/v1/streaming.stop")
@routes.post("/v1/realtime.stop")
async def stop(request: web.Request) -> web.Response:
    session, _ = await _session(request)
    await request.app[HEYGEN].end(session, "stopped")
    return ok({"status": "success"})


@routes.post("/v1/streaming.keep_alive")
async def keep_alive(request: web.Request) -> web.Response:
    session, _ = await _session(request)
    request.app[HEYGEN].store.accept(session, "keep_alive")
    return ok()


@routes.post("/v1/streaming.start_listening")
async def start_listening(request: web.Request) -> web.Response:
    session, _ = await _session(request)
    request.app[HEYGEN].listen(session, True)
    return ok()


@routes.post("/v1/streaming.stop_listening")
async def stop_listening(request: web.Request) -> web.Response:
    session, _ = await _session(request)
    request.app[HEYGEN].listen(session, False)
    return ok()


@routes.post("/v1/streaming.ice")
async def ice(request: web.Request) -> web.Response:
    raise Refusal("bad_request", "version v1 sessions are no longer supported")


@routes.get("/v1/streaming.list")
async def list_open(request: web.Request) -> web.Response:
    sessions = request.app[HEYGEN].store.open_sessions()
    return ok({"sessions": [_summary(session) for session in sessions]})


@routes.get("/v2/streaming.list")
async def list_all(request: web.Request) -> web.Response:
    """List all remembered sessions, newest first, in pages.

    `token` continues a listing.
    """
    store = request.app[HEYGEN].store
    page, size, offset = _paging(request)
    wanted = list(_filtered(request, reversed(list(store.sessions.values()))))
    shown = wanted[offset : offset + size]
    more = str(offset + size) if offset + size < len(wanted) else None
    return web.json_response(
        {
            "code": 100,
            "message": "success",
            "total": len(wanted),
            "page": page,
            "page_size": size,
            "next_pagination_token": more,
            "data": [_details(session, store.clock.now()) for session in shown],
        }
    )


async def _session(request: web.Request) -> tuple[Session, dict[str, Any]]:
    """Return the requested session, if the caller may use it, and the body."""
    body = await read_object(request)
    session_id = required_text(body, "session_id")
    return request.app[HEYGEN].store.find_for(session_id, request[CALLER]), body


def _choice(body: dict[str, Any], name: str, values: tuple[str, ...]) -> str:
    """Return the value in lower case, by default the first of `values`."""
    value = body.get(name) or values[0]
    if not isinstance(value, str):
        raise Refusal("invalid_parameter", f"{name} must be a string")
    if value.lower() not in values:
        raise Refusal("invalid_value", f"{name} must be one of {', '.join(values)}")
    return value.lower()


def _summary(session: Session) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "status": session.state,
        "created_at": int(session.created_at),
        "api_key_type": "paid",
    }


def _details(session: Session, now: float) -> dict[str, Any]:
    return _summary(session) | {
        "duration": round(session.duration(now), 3),
        "avatar_id": session.options.avatar.avatar_id,
        "voice_name": session.options.voice_name,
    }


def _paging(request: web.Request) -> tuple[int, int, int]:
    """Return page, page size and offset."""
    page = _whole(request, "page", 1, 1_000_000)
    size = _whole(request, "page_size", 10, MAX_PAGE_ROWS)
    if request.query.get("token"):
        return page, size, _whole(request, "token", 1, 1_000_000_000)
    return page, size, (page - 1) * size


def _whole(request: web.Request, name: str, default: int, maximum: int) -> int:
    raw = request.query.get(name) or str(default)
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 10 and 1 <= int(raw) <= maximum):
        raise Refusal("invalid_value", f"{name} must be from 1 to {maximum}")
    return int(raw)


def _filtered(request: web.Request, sessions: Any) -> Any:
    since, until = _moment(request, "date_from"), _moment(request, "date_to")
    status = request.query.get("status")
    if status and status not in list(State):
        raise Refusal("invalid_value", f"status must be one of {', '.join(State)}")
    for session in sessions:
        created = int(session.created_at)  # dates have a resolution of seconds
        if (
            (since is None or created >= since)
            and (until is None or created <= until)
            and status in (None, "", session.state)
        ):
            yield session


def _moment(request: web.Request, name: str) -> float | None:
    raw = request.query.get(name)
    if not raw:
        return None
    try:
        return datetime.strptime(raw, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Refusal("invalid_value", f"{name} must look like {time.strftime('%Y-%m-%dT%H:%M:%SZ')}") from None
