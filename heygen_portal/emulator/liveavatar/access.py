"""Credentials, rate limits and CORS of LiveAvatar."""

import hmac
from collections import Counter
from typing import Final

from aiohttp import web

from heygen_portal.emulator.liveavatar.service import LIVEAVATAR
from heygen_portal.emulator.liveavatar.states import SOCKETS
from heygen_portal.emulator.sessions.states import Refusal

TOKEN_SESSION: Final = web.RequestKey("token_session", str)  # session of the token; empty for the account's key

PUBLIC_PATHS: Final = ("/v1/avatars/public", "/v1/languages", "/v1/llm-models")
TOKEN_PATHS: Final = ("/v1/sessions/start", "/v1/sessions/stop", "/v1/sessions/keep-alive")
START_PATH: Final = "/v1/sessions/start"


def authorize(request: web.Request, key: str) -> None:
    """Check credential and rate limit. Raises Refusal."""
    path = request.path
    given = request.headers.get("X-Api-Key", "")
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    token = bearer.strip() if scheme.lower() == "bearer" else ""
    request[TOKEN_SESSION] = request.app[LIVEAVATAR].tokens.get(token, "")
    request.app[RATE_LIMITER].count(request, token or given)
    if path in PUBLIC_PATHS or path.startswith(SOCKETS):
        return
    if request[TOKEN_SESSION]:
        if path not in TOKEN_PATHS:
            raise Refusal("not_supported", "a session token")
    elif not hmac.compare_digest(given.encode("utf-8", "replace"), key.encode()):
        raise Refusal("unauthorized")
    elif path == START_PATH:
        raise Refusal("not_supported", "the API key; a session token is needed")


class RateLimiter:
    """Counts the current second's calls by credential and endpoint."""

    def __init__(self) -> None:
        self._second = 0
        self._calls: Counter[tuple[str, str, str]] = Counter()

    def count(self, request: web.Request, credential: str) -> None:
        """Count a call. Raises Refusal above the limit."""
        live = request.app[LIVEAVATAR]
        second = int(live.clock.now())
        if second != self._second:
            self._second = second
            self._calls.clear()
        resource = request.match_info.route.resource
        endpoint = (credential, request.method, resource.canonical if resource else "")
        self._calls[endpoint] += 1
        if self._calls[endpoint] > live.store.rules.live_rate:
            raise Refusal("rate_limit")


RATE_LIMITER: Final = web.AppKey("rate_limiter", RateLimiter)


def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add CORS headers with credentials, and Retry-After to a 429."""
    if origin := request.headers.get("Origin"):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Access-Control-Allow-Headers"] = "authorization, content-type"
        response.headers["Access-Control-Allow-Methods"] = "POST, OPTIONS"
        response.headers["Vary"] = "Origin"
    if response.status == 429:
        response.headers["Retry-After"] = response.headers["X-RateLimit-Reset"] = "1"
