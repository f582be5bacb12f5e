"""Errors of the OpenAI API as data, and its paths."""

from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from heygen_portal.emulator.sessions.states import Error, Refusal

PATHS: Final = ("chat", "embeddings", "models", "moderations")  # below /v1/
COMPLETIONS: Final = "/v1/chat/completions"
RETRY_AFTER_S: Final = 1


@dataclass(frozen=True)
class OpenAIError(Error):
    """A refusal. The wire's `code` is the key of the table, or null if `is_coded` is False."""

    kind: str = "invalid_request_error"
    is_coded: bool = True


def _error(status: int, message: str, kind: str = "invalid_request_error", *, is_coded: bool = True) -> OpenAIError:
    return OpenAIError(status, status, message, kind, is_coded)


OPENAI_ERRORS: Final[dict[str, OpenAIError]] = {
    "invalid_request": _error(400, "Invalid request", is_coded=False),
    "unsupported_parameter": _error(400, "Unsupported parameter"),
    "context_length_exceeded": _error(400, "This model's maximum context length is exceeded"),
    "missing_api_key": _error(401, "You didn't provide an API key", is_coded=False),
    "invalid_api_key": _error(401, "Incorrect API key provided"),
    "not_found": _error(404, "Unknown request URL", is_coded=False),
    "model_not_found": _error(404, "The model does not exist or you do not have access to it"),
    "rate_limit_exceeded": _error(429, "Rate limit reached", "requests"),
    "insufficient_quota": _error(429, "You exceeded your current quota", "insufficient_quota"),
    "server_error": _error(500, "The server had an error while processing your request", "server_error"),
    "overloaded": _error(503, "The engine is currently overloaded", "server_error", is_coded=False),
}


class InvalidRequest(Refusal):
    """A refusal that names a field of the request in `param`."""

    def __init__(self, param: str, detail: str, key: str = "invalid_request") -> None:
        super().__init__(key, f"{param}: {detail}")
        self.param = param


def is_openai(path: str) -> bool:
    """Return whether a path is the OpenAI API's. It shares its host with the other services, but no path."""
    return path.startswith("/v1/") and path.split("/", 3)[2] in PATHS


def refused(refusal: Refusal) -> web.Response:
    error = OPENAI_ERRORS.get(refusal.key, OPENAI_ERRORS["invalid_request"])
    response = web.json_response(
        body(
            refusal.words(error),
            kind=error.kind,
            param=refusal.param if isinstance(refusal, InvalidRequest) else None,
            code=refusal.key if error.is_coded else None,
        ),
        status=error.status,
    )
    if error.status == 429:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def failure(status: int, message: str) -> web.Response:
    return web.json_response(
        body(message, kind="server_error" if status >= 500 else "invalid_request_error"), status=status
    )


def body(message: str, *, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
