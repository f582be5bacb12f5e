"""Log lines as JSON, each with the request, session and trace that it belongs to.

`bound` sets the first two for a block. Context variables carry them through tasks and threads.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from heygen_portal.runtime import tracing

_request: ContextVar[str] = ContextVar("log_request", default="")
_session: ContextVar[str] = ContextVar("log_session", default="")

# A longer part of a path may be a secret: an invitation, a link to reset a password. UUIDs have 36 characters.
MAX_PART_CHARACTERS = 36
access_log = logging.getLogger("portal.access")


def new_request_id() -> str:
    return uuid4().hex


@contextmanager
def bound(*, request: str = "", session: object = None) -> Iterator[None]:
    """Add the request or session to each line that is logged in this block."""
    tokens: list[tuple[ContextVar[str], Token[str]]] = []
    if request:
        tokens.append((_request, _request.set(request)))
    if session:
        tokens.append((_session, _session.set(str(session))))
    try:
        yield
    finally:
        for variable, token in reversed(tokens):
            variable.reset(token)


def set_session(session: object) -> None:
    """Add the session to each line that this task logs from now on."""
    _session.set(str(session))


def carried() -> Callable[[], None]:
    """Return a function that sets what was bound here, and the trace, in the context that calls it."""
    request, session, traceparent = _request.get(), _session.get(), tracing.carrier()

    def restore() -> None:
        _request.set(request)
        _session.set(session)
        tracing.attach(traceparent)

    return restore


class JSONFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        ids = {"request": _request.get(), "session": _session.get(), "trace": tracing.trace_id()}
        line |= {name: value for name, value in ids.items() if value}
        line |= getattr(record, "portal_fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_access(protocol: str, action: str, details: dict[str, Any]) -> None:
    """Log a request or a socket, without its query, which may have words that somebody searched for.

    The address is personal data and is left out, too.
    """
    if action not in ("complete", "connected", "rejected", "disconnected"):
        return
    path = details["path"]
    text = path.decode("ascii", "replace") if isinstance(path, bytes) else str(path)
    fields: dict[str, Any] = {"path": public_path(text)}
    if action == "complete":
        fields |= {"method": details["method"], "status": details["status"], "seconds": details["time_taken"]}
    access_log.info("%s %s", protocol, action, extra={"portal_fields": fields})


def public_path(path: str) -> str:
    """Return a path without its query and without parts that may be secrets."""
    parts = path.partition("?")[0].split("/")
    return "/".join(part if re.fullmatch(rf"[\w.-]{{0,{MAX_PART_CHARACTERS}}}", part) else "…" for part in parts)
