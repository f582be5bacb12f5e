"""A client of LiveAvatar's API for tests, valid or invalid calls alike."""

from __future__ import annotations

from typing import Any, Self

import httpx

from tests.emulator.providers_doc import Case
from tests.emulator.wire import Wire

SANDBOX_AVATAR = "dd73ea75-1218-4ef3-92ce-606d5f7fbc0a"
PERSONA = {"mode": "FULL", "avatar_id": SANDBOX_AVATAR, "avatar_persona": {"language": "en"}}
LITE = {"mode": "LITE", "avatar_id": SANDBOX_AVATAR}


class LiveAvatarWire(Wire):
    """HTTP client of LiveAvatar and of the emulator's control routes."""

    def __init__(self, url: str, api_key: str, *, is_sandbox: bool = False) -> None:
        super().__init__(url, api_key)
        self.tokens: dict[str, str] = {}
        self.is_sandbox = is_sandbox

    def __enter__(self) -> Self:
        return self

    def ask_for(self, method: str, path: str, body: Any = None, *, token: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {"X-API-KEY": self.api_key}
        return self.http.request(method, path, json=body, headers=headers)

    def got(self, path: str) -> Any:
        return self.ask_for("GET", path).raise_for_status().json()["data"]

    def create_token(self, **body: Any) -> str:
        """Create a token, for a FULL session by default. Return the session ID."""
        sandbox = {"is_sandbox": True} if self.is_sandbox else {}
        created = self.ask_for("POST", "/v1/sessions/token", PERSONA | sandbox | body).raise_for_status().json()["data"]
        self.tokens[created["session_id"]] = created["session_token"]
        return str(created["session_id"])

    def lite(self, **body: Any) -> str:
        return self.create_token(**{**LITE, "avatar_persona": None, **body})

    def start(self, session_id: str) -> dict[str, Any]:
        answer = self.ask_for("POST", "/v1/sessions/start", {}, token=self.tokens[session_id])
        started: dict[str, Any] = answer.raise_for_status().json()["data"]
        return started

    def stop(self, session_id: str, **body: Any) -> None:
        self.ask_for("POST", "/v1/sessions/stop", {"session_id": session_id, **body}).raise_for_status()

    def command(self, session_id: str, event_type: str, **more: Any) -> None:
        """Send a command through the control routes as a browser would in the room."""
        self.control(f"sessions/{session_id}/command", {"event_type": event_type, **more})

    def entry(self, session_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.got(f"/v1/sessions/{session_id}")
        return found

    def session_as(self, state: str) -> str:
        """Return a session in the state that a documented case needs."""
        if state == "-":
            return ""
        session_id = self.lite() if state == "lite" else self.create_token()
        if state != "minted":
            self.start(session_id)
        if state == "over":
            self.stop(session_id)
        return session_id

    def ask_case(self, case: Case, session_id: str) -> httpx.Response:
        method, path = case.call.split()
        placed = {"$session": session_id, "$avatar": SANDBOX_AVATAR}
        body = case.body
        for name, value in placed.items():
            path, body = path.replace(name, value), body.replace(name, value)
        headers = {
            "none": {},
            "key": {"X-API-KEY": self.api_key},
            "wrong": {"X-API-KEY": "not-a-key"},
            "token": {"Authorization": f"Bearer {self.tokens.get(session_id, '')}"},
        }[case.credential]
        return self.http.request(method, path, content=body, headers={"Content-Type": "application/json", **headers})
