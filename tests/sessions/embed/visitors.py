"""Guests without a browser: a persona that is embedded, and a guest's tab on the real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.test import Client
from django.utils import timezone

from heygen_portal.asgi import application
from sessions.embed import admission
from sessions.embed.guest_consumer import SUBPROTOCOL
from sessions.models import GuestLink, PersonaEmbed
from tests.sessions.tabs import Tab
from tests.support.factories import PersonaFactory
from tests.timeouts import WAIT_TIMEOUT_S

SITE = "https://www.examplia.test"
OWN_PAGE = "http://localhost"


def embed_of(**fields: Any) -> PersonaEmbed:
    """Return the embed of a published persona that guests may talk with on SITE."""
    values: dict[str, Any] = {"is_enabled": True, "origins": [SITE], "challenge": "never"}
    return PersonaEmbed.objects.create(persona=PersonaFactory.create(published=True), **(values | fields))


def link_of(embed: PersonaEmbed, **fields: Any) -> GuestLink:
    """Return a link to the embed's persona that is valid for a day."""
    values: dict[str, Any] = {"label": "Fair", "expires_at": timezone.now() + timedelta(days=1), "max_uses": 2}
    return GuestLink.objects.create(embed=embed, **(values | fields))


an_embed, a_link = sync_to_async(embed_of), sync_to_async(link_of)


def ask(client: Client, embed: PersonaEmbed, *, page: str = "http://testserver", **content: Any) -> Any:
    """Post what a guest's page asks to be let in with."""
    body = json.dumps({"origin": SITE, **content})
    path = f"/embed/{embed.public_id}/visit?lang=en"
    return client.post(path, body, content_type="application/json", headers={"origin": page})


@sync_to_async
def a_token(embed: PersonaEmbed, device: str = "a-device", **request: Any) -> str:
    asked = {"origin": SITE, **request}
    admitted = admission.admit(embed, asked, device=admission.device_hash(device), address="192.0.2.7")
    return admitted.socket_token


class GuestTab(Tab):
    """A guest's browser tab."""

    def __init__(
        self, public_id: str, token: str, device: str = "a-device", address: str = "192.0.2.7", origin: str = OWN_PAGE
    ) -> None:
        headers = [(b"origin", origin.encode()), (b"host", b"localhost")]
        headers += [(b"cookie", f"guest_device={device}".encode())] if device else []
        WebsocketCommunicator.__init__(
            self, application, f"/ws/embed/{public_id}/?lang=en", headers=headers, subprotocols=[SUBPROTOCOL, token]
        )
        self.scope["client"] = (address, 50_000)


@asynccontextmanager
async def guest(embed: PersonaEmbed, device: str = "a-device", address: str = "192.0.2.7") -> AsyncIterator[GuestTab]:
    """Open a guest's tab."""
    tab = GuestTab(embed.public_id, await a_token(embed, device), device, address)
    assert await tab.connect(timeout=WAIT_TIMEOUT_S) == (True, SUBPROTOCOL)
    yield tab
    await tab.disconnect(timeout=WAIT_TIMEOUT_S)
