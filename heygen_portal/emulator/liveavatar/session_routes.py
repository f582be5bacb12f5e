"""LiveAvatar's session routes: token, start, stop, lists and transcripts."""

from typing import Any

from aiohttp import web

from heygen_portal.emulator.heygen.responses import read_object
from heygen_portal.emulator.liveavatar.access import TOKEN_SESSION
from heygen_portal.emulator.liveavatar.responses import format_time, ok, origin, page
from heygen_portal.emulator.liveavatar.service import LIVEAVATAR, options_of
from heygen_portal.emulator.liveavatar.states import SOCKETS, STOP_REASONS, end_reason
from heygen_portal.emulator.sessions.states import Refusal
from heygen_portal.emulator.sessions.store import Session

routes = web.RouteTableDef()


@routes.post("/v1/sessions/token")
async def token(request: web.Request) -> web.Response:
    session_id, session_token = request.app[LIVEAVATAR].create_token(await read_object(request))
    return ok({"session_id": session_id, "session_token": session_token})


@routes.post("/v1/sessions/start")
async def start(request: web.Request) -> web.Response:
    """Start the token's session.

    Clients send no body, an empty object or the session ID.
    """
    service = request.app[LIVEAVATAR]
    session = service.open(request[TOKEN_SESSION])
    options, rooms = options_of(session), service.rooms
    ours, lite = options.own_room is None, options.mode == "LITE"
    return ok(
        {
            "session_id": session.id,
            "livekit_url": rooms.url if ours else None,
            "livekit_client_token": await service.user_token(session) if ours else None,
            "livekit_agent_token": rooms.agent_token(session.id) if ours and lite else None,
            "max_session_duration": int(session.ends_at - session.created_at),
            "ws_url": f"{origin(request, socket=True)}{SOCKETS}{service.socket_of(session)}" if lite else None,
        },
        status=201,
    )


@routes.post("/v1/sessions/stop")
async def stop(request: web.Request) -> web.Response:
    body = await read_object(request)
    reason = body.get("reason") if body else "USER_CLOSED"
    await request.app[LIVEAVATAR].stop(_requested_id(request, body), reason if reason in STOP_REASONS else "UNKNOWN")
    return ok()


@routes.post("/v1/sessions/keep-alive")
async def keep_alive(request: web.Request) -> web.Response:
    service = request.app[LIVEAVATAR]
    session_id = _requested_id(request, await read_object(request))
    if session_id not in service.pending:
        service.store.accept(service.store.find(session_id), "keep_alive")
    return ok()


@routes.get("/v1/sessions")
async def list_sessions(request: web.Request) -> web.Response:
    kind = request.query.get("type")
    if kind not in ("active", "historic"):
        raise Refusal("invalid_value" if kind else "missing_parameter", "type is active or historic")
    wanted = [
        _entry(request, session)
        for session in reversed(request.app[LIVEAVATAR].store.sessions.values())
        if session.is_open == (kind == "active")
        and request.query.get("avatar_id") in (None, session.options.avatar.avatar_id)
        and request.query.get("context_id") in (None, options_of(session).context_id)
    ]
    return page(request, wanted)


@routes.get("/v1/sessions/{id}")
async def one(request: web.Request) -> web.Response:
    return ok(_entry(request, _session(request)))


@routes.get("/v1/sessions/{id}/transcript")
async def transcript(request: web.Request) -> web.Response:
    """Return transcript lines of a time range in milliseconds.

    `next_timestamp` comes after the last line returned.
    """
    session = _session(request)
    since, until = _moment(request, "start_timestamp", 0), _moment(request, "end_timestamp", 10**15)
    lines = [
        {
            "role": line.role,
            "transcript": line.text,
            "absolute_timestamp": int(line.at * 1000),
            "relative_timestamp": int((line.at - session.created_at) * 1000),
        }
        for line in session.transcript
        if since <= int(line.at * 1000) <= until
    ]
    return ok(
        {
            "session_active": session.is_open,
            "next_timestamp": int(str(lines[-1]["absolute_timestamp"])) + 1 if lines else None,
            "transcript_data": lines,
        }
    )


@routes.delete("/v1/sessions/{id}/events")
async def forget(request: web.Request) -> web.Response:
    _session(request).transcript.clear()
    return ok()


def _requested_id(request: web.Request, body: dict[str, Any]) -> str:
    """Return the token's session ID, or with the account's key the one in the body."""
    if token_session := request[TOKEN_SESSION]:
        return token_session
    session_id = body.get("session_id")
    if session_id is None:
        raise Refusal("missing_parameter", "session_id")
    if not isinstance(session_id, str):
        raise Refusal("invalid_parameter", "session_id must be a string")
    return session_id


def _session(request: web.Request) -> Session:
    return request.app[LIVEAVATAR].store.find(request.match_info["id"])


def _entry(request: web.Request, session: Session) -> dict[str, Any]:
    store = request.app[LIVEAVATAR].store
    entry = {
        "id": session.id,
        "created_at": format_time(session.created_at),
        "updated_at": format_time(session.active_at),
        "duration": int(session.duration(store.clock.now())),
        "source": "API",
        "mode": options_of(session).mode,
        "is_sandbox": options_of(session).is_sandbox,
        "credits_consumed": round(store.credits(session), 2),
    }
    if session.ended_at is not None:
        entry |= {"end_at": format_time(session.ended_at), "end_reason": end_reason(session.end_reason)}
    return entry


def _moment(request: web.Request, name: str, default: int) -> int:
    raw = request.query.get(name)
    if not raw:
        return default
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 15):
        raise Refusal("invalid_parameter", f"{name} must be a whole number")
    return int(raw)
