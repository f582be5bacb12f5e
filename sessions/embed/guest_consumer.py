"""The WebSocket of a guest's page: that of a user's page, with a token in place of a login session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from heygen_portal.people.access.live_access import Loss
from heygen_portal.providers.contract.provider import TaskKind
from heygen_portal.runtime import client_address
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.capacity import guests
from sessions.capacity.guests import GuestClaim, Visit
from sessions.embed import admission, device_cookie
from sessions.models import OwnerId, Purpose
from sessions.web.page_socket import Handler
from sessions.web.session_consumer import CLOSE_NOT_FOUND, CLOSE_SIGNED_OUT, SessionConsumer

# The page offers this subprotocol and its token. The server accepts the first and never repeats the second.
SUBPROTOCOL = "portal.guest"


class GuestConsumer(SessionConsumer):
    """One browser tab of a guest."""

    visit: Visit
    subprotocol = SUBPROTOCOL
    ACCESS_ERRORS: ClassVar[Mapping[Loss, type[errors.AccessLost]]] = dict.fromkeys(Loss, errors.GuestAccessEnded)

    def __init__(self) -> None:
        super().__init__(Purpose.TALK)

    async def connect(self) -> None:
        offered = self.scope.get("subprotocols") or []
        if SUBPROTOCOL not in offered:
            await self.close(code=CLOSE_SIGNED_OUT)  # no guest's page
            return
        embed = await in_thread(admission.find_embed)(self.scope["url_route"]["kwargs"]["public_id"])
        if embed is None:
            await self.close(code=CLOSE_NOT_FOUND)
            return
        token = next((each for each in offered if each != SUBPROTOCOL), "")
        device = admission.device_hash(device_cookie.read(self.scope["cookies"]))
        address = client_address.of_socket(self.scope)
        try:
            self.visit = await in_thread(admission.open_socket)(embed, token, device=device, address=address)
        except errors.GuestRefused as exc:
            await self.turn_away(exc)
            return
        self.owner = self.visit.guest_id
        self.persona_slug = embed.persona.slug
        if await self.may_connect():
            await self.open_for(embed.persona)

    async def turn_away(self, error: errors.GuestRefused) -> None:
        """Open the socket only to say why it is closed. A refused handshake could not."""
        await self.accept(self.subprotocol)
        self.is_open = True
        await self.send_error(error)
        self.is_open = False
        await self.close(code=error.close_code)

    @property
    def person(self) -> OwnerId | None:
        return self.visit.guest_id

    def make_claim(self) -> GuestClaim:
        return GuestClaim.of(self.visit)

    async def prepare_owner(self, content: dict[str, Any]) -> None:
        """Store the guest at the first Start. Raises AgeNeeded, NotFound."""
        has_guardian = content.get("age_confirmed") is True
        await in_thread(guests.admit)(self.visit, self.address, has_guardian=has_guardian)

    def conversation_url(self, session_id: UUID) -> str:
        return ""  # a guest has no page of past conversations

    async def on_prepare(self, content: dict[str, Any]) -> None:
        """Create no room before Start: it would cost nothing to ask for many."""

    async def on_task(self, content: dict[str, Any]) -> None:
        """Pass a text on. The avatar answers guests, and does not read their texts aloud."""
        if content.get("kind") != TaskKind.TALK:
            raise errors.BadMessage
        await super().on_task(content)

    HANDLERS: ClassVar[Mapping[str, Handler]] = {
        **SessionConsumer.HANDLERS,
        "room.prepare": on_prepare,
        "task.send": on_task,
    }
