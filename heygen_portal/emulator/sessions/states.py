"""HeyGen's errors, states and refusals as data.

The routes answer from these tables and tests draw their cases from them. `docs/providers.md` quotes them; a test
compares the two.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """States of a session, by the service's names."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSING = "closing"
    CLOSED = "closed"


# Sessions in these states occupy a slot and are billed.
OPEN: Final = frozenset({State.NEW, State.CONNECTING, State.CONNECTED})

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.NEW: frozenset({State.CONNECTING, State.CLOSING}),
    State.CONNECTING: frozenset({State.CONNECTED, State.CLOSING}),
    State.CONNECTED: frozenset({State.CLOSING}),
    State.CLOSING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}


@dataclass(frozen=True)
class Error:
    """A documented refusal: HTTP status, code in the envelope, message."""

    status: int
    code: int
    message: str


ERRORS: Final[dict[str, Error]] = {
    "state_new": Error(400, 10001, "session state wrong: new"),
    "state_connecting": Error(400, 10002, "session state wrong: connecting"),
    "state_connected": Error(400, 10003, "session state wrong: connected"),
    "state_closing": Error(400, 10004, "session state wrong: closing"),
    "state_closed": Error(400, 10005, "session state wrong: closed"),
    "state_incorrect": Error(400, 400006, "session is not in correct state"),
    "session_not_found": Error(404, 10006, "session not found"),
    "concurrent_limit": Error(429, 10007, "Concurrent limit reached."),
    "avatar_not_found": Error(404, 10012, "avatar not found"),
    "avatar_not_allowed": Error(403, 10013, "avatar not allowed"),
    "session_full": Error(429, 10014, "session full, try again later"),
    "trial_limit": Error(429, 10015, "Trial API limit reached"),
    "avatar_deprecated": Error(400, 400014, "avatar version is deprecated, please use v3+ avatars"),
    "unauthorized": Error(401, 400112, "Unauthorized"),
    "not_supported": Error(401, 40102, "Unauthorized: this credential is not supported here"),
    "forbidden": Error(403, 400562, "Forbidden"),
    "no_api_access": Error(403, 400599, "Your plan has no API access"),
    "bad_request": Error(400, 40001, "Invalid request"),
    "invalid_parameter": Error(400, 40012, "Invalid parameter"),
    "missing_parameter": Error(400, 400128, "Missing parameter"),
    "invalid_value": Error(400, 400175, "Invalid value"),
    "bad_credentials": Error(400, 40009, "Invalid credentials"),
    "no_such_user": Error(400, 400101, "User not found"),
    "account_blocked": Error(400, 400631, "Account blocked"),
    "invalid_text": Error(400, 40039, "Invalid text"),
    "blocked_words": Error(400, 400105, "Text contains blocked words"),
    "audio_failed": Error(400, 40056, "Audio generation failed"),
    "rate_limit": Error(429, 400123, "Rate limit exceeded"),
}

# action -> state -> key of the refusal in ERRORS, or None if the action is allowed.
# Users reported 400006 for tasks in 2025; other actions use the documented 1000x codes.
_OVER: Final = {State.CLOSING: "state_closing", State.CLOSED: "state_closed"}
_ONLY_CONNECTED: Final = {
    State.NEW: "state_new",
    State.CONNECTING: "state_connecting",
    State.CONNECTED: None,
    **_OVER,
}
ACTIONS: Final[dict[str, dict[State, str | None]]] = {
    "start": {
        State.NEW: None,
        State.CONNECTING: "state_connecting",
        State.CONNECTED: "state_connected",
        **_OVER,
    },
    "task": {State.NEW: "state_incorrect", State.CONNECTING: "state_incorrect", State.CONNECTED: None, **_OVER},
    "interrupt": _ONLY_CONNECTED,
    "start_listening": _ONLY_CONNECTED,
    "stop_listening": _ONLY_CONNECTED,
    "keep_alive": {State.NEW: None, State.CONNECTING: None, State.CONNECTED: None, **_OVER},
    "stop": dict.fromkeys(State, None),  # the official demo stops a second time after a disconnect
}


class Refusal(Exception):
    """A refused request.

    Each wire maps `key` to its own error; `detail` extends the message.
    """

    def __init__(self, key: str, detail: str = "") -> None:
        self.key = key
        self.detail = detail
        super().__init__(f"{key}: {detail}")

    def words(self, error: Error) -> str:
        return f"{error.message}: {self.detail}" if self.detail else error.message

    @property
    def error(self) -> Error:
        """HeyGen's error for this refusal."""
        return ERRORS[self.key]

    @property
    def message(self) -> str:
        return self.words(self.error)
