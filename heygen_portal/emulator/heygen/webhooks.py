"""Webhooks of the Video API: signed notifications about finished videos."""

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import aiohttp
from aiohttp import web

from heygen_portal.emulator.heygen.responses import ok, read_object, required_text
from heygen_portal.emulator.sessions.states import Refusal

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

EVENTS: Final = ("avatar_video.success", "avatar_video.fail", "live_avatar.success", "live_avatar.fail")
PROBE_SECONDS: Final = 1.0  # documented: endpoints must answer OPTIONS within this time
DELIVERY_SECONDS: Final = 5.0
MAX_ENDPOINTS: Final = 20


@dataclass
class Endpoint:
    endpoint_id: str
    url: str
    events: list[str]
    secret: str = field(repr=False)
    created_at: str
    status: str = "enabled"

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"username": "emulator"}


class Webhooks:
    """Registered endpoints. Only URLs given by the account's owner are called."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}

    async def send(self, event_type: str, data: dict[str, Any], *, callback_url: str | None = None) -> None:
        """Deliver an event to subscribed endpoints and `callback_url`.

        Failures are logged only.
        """
        body = json.dumps({"event_type": event_type, "event_data": data}).encode()
        wanted = [
            endpoint for endpoint in self.endpoints.values() if not endpoint.events or event_type in endpoint.events
        ]
        targets = [(endpoint.url, {"Signature": signature(body, endpoint.secret)}) for endpoint in wanted]
        if callback_url:
            targets.append((callback_url, {}))
        await asyncio.gather(*(_deliver(url, body, headers) for url, headers in targets))


WEBHOOKS: Final = web.AppKey("webhooks", Webhooks)


def signature(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@routes.get("/v1/webhook/webhook.list")
async def events(request: web.Request) -> web.Response:
    return ok(list(EVENTS))


@routes.get("/v1/webhook/endpoint.list")
async def endpoints(request: web.Request) -> web.Response:
    return ok([endpoint.as_json() for endpoint in request.app[WEBHOOKS].endpoints.values()])


@routes.post("/v1/webhook/endpoint.add")
async def add(request: web.Request) -> web.Response:
    body = await read_object(request)
    known = request.app[WEBHOOKS].endpoints
    url = required_text(body, "url")
    if len(known) >= MAX_ENDPOINTS:
        raise Refusal("invalid_value", f"more than {MAX_ENDPOINTS} endpoints")
    wanted = _events(body)
    if not url.startswith(("http://", "https://")) or not await _answers_options(url):
        raise Refusal("invalid_value", "the url does not answer OPTIONS")
    created_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    endpoint = Endpoint(uuid4().hex, url, wanted, secrets.token_hex(16), created_at)
    known[endpoint.endpoint_id] = endpoint
    return ok(endpoint.as_json())


@routes.patch("/v1/webhook/endpoint.update")
async def update(request: web.Request) -> web.Response:
    body = await read_object(request)
    endpoint = _endpoint(request, required_text(body, "endpoint_id"))
    wanted = _events(body) if body.get("events") is not None else endpoint.events
    if body.get("url") is not None:
        url = required_text(body, "url")
        if not url.startswith(("http://", "https://")) or not await _answers_options(url):
            raise Refusal("invalid_value", "the url does not answer OPTIONS")
        endpoint.url = url
    endpoint.events = wanted
    return ok(endpoint.as_json())


@routes.delete("/v1/webhook/endpoint.delete")
async def delete(request: web.Request) -> web.Response:
    endpoint = _endpoint(request, request.query.get("endpoint_id", ""))
    del request.app[WEBHOOKS].endpoints[endpoint.endpoint_id]
    return ok()


def _endpoint(request: web.Request, endpoint_id: str) -> Endpoint:
    if endpoint := request.app[WEBHOOKS].endpoints.get(endpoint_id):
        return endpoint
    raise Refusal("invalid_value", "endpoint not found")


def _events(body: dict[str, Any]) -> list[str]:
    wanted = body.get("events") or []
    if not isinstance(wanted, list) or not all(event in EVENTS for event in wanted):
        raise Refusal("invalid_value", f"events are of {', '.join(EVENTS)}")
    return wanted


async def _answers_options(url: str) -> bool:
    try:
        async with _client(PROBE_SECONDS) as client, client.options(url) as response:
            return response.status < 400
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
        return False


async def _deliver(url: str, body: bytes, headers: dict[str, str]) -> None:
    headers = headers | {"Content-Type": "application/json"}
    try:
        async with _client(DELIVERY_SECONDS) as client, client.post(url, data=body, headers=headers) as response:
            log.info("webhook: %s", response.status)
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as exc:
        log.warning("a webhook was not delivered: %s", type(exc).__name__)


def _client(seconds: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds))
