"""A client of HeyGen's API for tests, valid or invalid calls alike."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx

from tests.emulator.providers_doc import Case
from tests.timeouts import WAIT_TIMEOUT_S

TLS = httpx.create_ssl_context()  # shared: loading the certificates takes longer than most tests
AVATAR = "Nora_public_20260101"


class Wire:
    """HTTP client of HeyGen's API and of the emulator's control routes."""

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url
        self.api_key = api_key
        self.http = httpx.Client(base_url=url, timeout=30, trust_env=False, verify=TLS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.http.close()

    def call(self, name: str, body: Any = None, *, token: str = "", method: str = "POST") -> httpx.Response:
        """Call `streaming.new` or a path, with the account's key unless `token` is given."""
        path = name if name.startswith("/") else f"/v1/{name}"
        headers = {"Authorization": f"Bearer {token}"} if token else {"X-Api-Key": self.api_key}
        return self.http.request(method, path, json=body, headers=headers)

    def get(self, path: str) -> Any:
        return self.call(path, method="GET").raise_for_status().json()

    def data(self, name: str, body: Any = None, *, token: str = "") -> Any:
        return self.call(name, body, token=token).raise_for_status().json()["data"]

    def control(self, path: str, body: Any = None, *, method: str = "POST") -> Any:
        return self.http.request(method, f"/_emulator/{path}", json=body or {}).raise_for_status().json()

    def fault(self, kind: str, **more: Any) -> Any:
        return self.control("faults", {"kind": kind, **more})

    def move_clock(self, seconds: float) -> None:
        self.control("clock", {"move": seconds})

    def token(self) -> str:
        return str(self.data("streaming.create_token")["token"])

    def new(self, **body: Any) -> str:
        return str(self.data("streaming.new", {"version": "v2", "avatar_id": AVATAR, **body})["session_id"])

    def session(self, state: str) -> str:
        """Return a session in a state, "" for `-`. `closing` passes too quickly."""
        if state == "-":
            return ""
        if state == "connecting":
            self.fault("never_connects")
        session_id = self.new()
        if state in ("connecting", "connected"):
            self.data("streaming.start", {"session_id": session_id})
        if state == "closed":
            self.data("streaming.stop", {"session_id": session_id})
        assert self.state(session_id) == state
        return session_id

    def state(self, session_id: str) -> str:
        return str(self.seen(session_id)["state"])

    async def until_connected(self, session_id: str) -> None:
        """Return once user and avatar are present, as the realtime socket reports."""
        address = f"{self.url}/v2-alpha/interactive-avatar/session/{session_id}"
        async with aiohttp.ClientSession() as http, http.ws_connect(address) as socket:
            while (await socket.receive_json(timeout=WAIT_TIMEOUT_S)).get("state") != "connected":
                pass

    def seen(self, session_id: str) -> dict[str, Any]:
        """Return the session as the control routes show it."""
        sessions = self.http.get("/_emulator/sessions", params={"all": "1"}).json()["sessions"]
        found: dict[str, Any] = next(session for session in sessions if session["session_id"] == session_id)
        return found

    def ask(self, case: Case, session_id: str) -> httpx.Response:
        """Make the call of a documented case."""
        method, path = case.call.split()
        headers = self._credential(case.credential, session_id)
        return self.http.request(method, path, content=case.content(session_id), headers=headers)

    def _credential(self, kind: str, session_id: str) -> dict[str, str]:
        match kind:
            case "key":
                return {"X-Api-Key": self.api_key}
            case "bearer key":
                return {"Authorization": f"Bearer {self.api_key}"}
            case "wrong":
                return {"X-Api-Key": "not-a-key"}
            case "token":
                return {"Authorization": f"Bearer {self.token()}"}
            case "token of another":
                token = self.token()
                self.data("streaming.new", {"version": "v2"}, token=token)
                return {"Authorization": f"Bearer {token}"}
        assert kind == "none"
        return {}
