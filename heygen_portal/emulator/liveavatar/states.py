"""LiveAvatar's errors, end reasons and event names as data.

The codes in its envelopes are undocumented. Ours are ten times the HTTP status, which is what clients evaluate.
"""

from dataclasses import dataclass
from typing import Final, Literal

from heygen_portal.emulator.sessions.states import Error

Shape = Literal["envelope", "data", "detail"]


@dataclass(frozen=True)
class LiveAvatarError(Error):
    """A refusal and the shape of its body.

    `envelope` is `{"code", "message", "data": null}`, `data` has the message only in `data[0].message`, `detail` is
    FastAPI's list of validation errors. All three occur in practice.
    """

    shape: Shape = "envelope"


def _error(status: int, message: str, shape: Shape = "envelope") -> LiveAvatarError:
    return LiveAvatarError(status, status * 10, message, shape)


LIVEAVATAR_ERRORS: Final[dict[str, LiveAvatarError]] = {
    "bad_request": _error(400, "Invalid request"),
    "invalid_parameter": _error(422, "Input has the wrong type", "detail"),
    "invalid_value": _error(422, "Input is not allowed", "detail"),
    "missing_parameter": _error(422, "Field required", "detail"),
    "not_a_uuid": _error(422, "Input should be a valid UUID", "detail"),
    "too_long": _error(400, "max_session_duration is over the limit", "data"),
    "unknown_reference": _error(400, "Not found in this account", "data"),
    "already_started": _error(400, "Session was already started"),
    "state_closed": _error(400, "Session is not active"),
    "unauthorized": _error(401, "Unauthorized"),
    "invalid_secret": _error(400, "Invalid secret"),
    "not_supported": _error(401, "This credential is not accepted here"),
    "avatar_not_allowed": _error(403, "Avatar is not available to this account"),
    "trial_limit": _error(403, "Not enough credits"),
    "not_yours": _error(403, "Not owned by this account"),
    "session_not_found": _error(404, "Session not found"),
    "not_found": _error(404, "Not found"),
    "concurrent_limit": _error(409, "Concurrency limit reached"),
    "rate_limit": _error(429, "Too many requests"),
}

# The emulator's end reason -> the service's. A client's stop passes its own.
END_REASONS: Final = {
    "duration": "MAX_DURATION_REACHED",
    "idle": "IDLE_TIMEOUT",
    "no_user": "ZOMBIE_SESSION_REAP",
    "quota": "NO_CREDITS",
    "provider": "SERVER_ERROR",
    "reset": "SERVER_ERROR",
    "shutdown": "SERVER_ERROR",
}
STOP_REASONS: Final = (
    "UNKNOWN", "USER_DISCONNECTED", "SERVER_ERROR", "IDLE_TIMEOUT", "NO_CREDITS", "USER_CLOSED", "AVATAR_DELETED",
    "MAX_DURATION_REACHED", "ZOMBIE_SESSION_REAP", "AGENT_HANG_UP", "DISPATCH_FAILED",
)  # fmt: skip

COMMANDS: Final = "agent-control"  # data channel topics
EVENTS: Final = "agent-response"

LANGUAGES: Final = {
    "en": "English", "es": "Spanish", "fr": "French", "de": "German", "it": "Italian", "pt": "Portuguese",
    "nl": "Dutch", "pl": "Polish", "ru": "Russian", "tr": "Turkish", "ar": "Arabic", "he": "Hebrew", "ja": "Japanese",
}  # fmt: skip
SOCKETS: Final = "/v1/ws/liveavatar/"  # sockets of LITE sessions, followed by a secret key
# below /v1/
PATHS: Final = (
    "avatars", "contexts", "languages", "llm-configurations", "llm-models", "secrets", "sessions", "users", "voices",
)  # fmt: skip


def is_liveavatar(path: str) -> bool:
    """Return whether a path is LiveAvatar's. The services share a host but no path."""
    return (path.startswith("/v1/") and path.split("/", 3)[2] in PATHS) or path.startswith(SOCKETS)


def end_reason(reason: str) -> str:
    return END_REASONS.get(reason, reason if reason in STOP_REASONS else "UNKNOWN")
