"""LiveAvatar's envelopes, pages and URLs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from aiohttp import web
from yarl import URL

from heygen_portal.emulator.liveavatar.states import LIVEAVATAR_ERRORS, Shape
from heygen_portal.emulator.sessions.states import Refusal

SUCCESS: Final = 1000
MAX_PAGE_ROWS: Final = 100


def ok(data: Any = None, status: int = 200) -> web.Response:
    """Return success, with the code and message that every published client accepts."""
    return web.json_response({"code": SUCCESS, "message": "Success", "data": data}, status=status)


def refused(refusal: Refusal) -> web.Response:
    error = LIVEAVATAR_ERRORS[refusal.key]
    return failure(error.status, refusal.words(error), error.shape)


def failure(status: int, message: str, shape: Shape = "envelope") -> web.Response:
    code = status * 10
    match shape:
        case "detail":
            body: dict[str, Any] = {"detail": [{"loc": ["body"], "msg": message, "type": "value_error"}]}
        case "data":
            body = {"code": code, "message": None, "data": [{"message": message}]}
        case "envelope":
            body = {"code": code, "message": message, "data": None}
    return web.json_response(body, status=status)


def page(request: web.Request, items: Sequence[Any]) -> web.Response:
    """Return the requested page of `items`."""
    number, size = _whole(request, "page", 1, 1_000_000), _whole(request, "page_size", 20, MAX_PAGE_ROWS)
    start = (number - 1) * size
    base = URL(f"{origin(request)}{request.path_qs}")
    return ok(
        {
            "count": len(items),
            "next": str(base.update_query(page=str(number + 1))) if start + size < len(items) else None,
            "previous": str(base.update_query(page=str(number - 1))) if number > 1 else None,
            "results": list(items[start : start + size]),
        }
    )


def origin(request: web.Request, *, socket: bool = False) -> str:
    """Return scheme and host as the client sees them, according to a proxy's headers."""
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme)
    host = request.headers.get("X-Forwarded-Host", request.host)
    return f"{scheme.replace('http', 'ws') if socket else scheme}://{host}"


def is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True


def format_time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def _whole(request: web.Request, name: str, default: int, maximum: int) -> int:
    raw = request.query.get(name) or str(default)
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 10 and 1 <= int(raw) <= maximum):
        raise Refusal("invalid_value", f"{name} must be from 1 to {maximum}")
    return int(raw)
