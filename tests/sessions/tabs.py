"""Browser tabs without a browser, using the real socket like the page does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client

from avatars.models import Persona
from heygen_portal.asgi import application
from tests.support.factories import EndUserFactory, PersonaFactory
from tests.timeouts import WAIT_TIMEOUT_S

ORIGIN = (b"origin", b"http://localhost")


@sync_to_async
def a_person() -> User:
    """Return an end user."""
    return EndUserFactory.create()


@sync_to_async
def a_persona(**fields: Any) -> Persona:
    persona: Persona = PersonaFactory.create(published=True, **fields)
    return persona


class Tab(WebsocketCommunicator):
    """A browser tab on a persona's page."""

    def __init__(self, user: Any, slug: str, *, lang: str = "en", origin: tuple[bytes, bytes] = ORIGIN) -> None:
        headers = [origin, (b"host", b"localhost")]
        if user.is_authenticated:
            client = Client()
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            headers.append((b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()))
        super().__init__(application, f"/ws/personas/{slug}/?lang={lang}", headers=headers)
        self.scope["client"] = ("127.0.0.1", 50_000)

    async def hear(self, message_type: str, /, **wanted: Any) -> dict[str, Any]:
        """Return the next message of this type with these values."""
        while True:
            message: dict[str, Any] = await self.receive_json_from(timeout=WAIT_TIMEOUT_S)
            if message["type"] == message_type and all(message.get(key) == value for key, value in wanted.items()):
                return message

    async def hear_each(self, *wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the first message with each of these values, in any order of arrival."""
        heard: dict[int, dict[str, Any]] = {}
        while len(heard) < len(wanted):
            message = await self.receive_json_from(timeout=WAIT_TIMEOUT_S)
            for number, values in enumerate(wanted):
                if values.items() <= message.items():
                    heard.setdefault(number, message)
        return [heard[number] for number in range(len(wanted))]

    async def say(self, message_type: str, /, **content: Any) -> None:
        await self.send_json_to({"type": message_type, **content})

    async def go_live(self) -> str:
        """Start a conversation and return its session ID."""
        await self.say("session.start")
        return await self.see()

    async def enter(self) -> str:
        """Start a conversation, receive its room, and return the session's ID."""
        await self.say("session.start")
        # The room is sent straight to the tab, the status through Redis: either may come first.
        connecting, _ = await self.hear_each(
            {"type": "session.status", "status": "connecting"}, {"type": "session.room"}
        )
        session_id: str = connecting["session_id"]
        return session_id

    async def see(self) -> str:
        """Receive the room, report the first frame, and return the session's ID."""
        await self.hear("session.room")
        return await self.show_picture()

    async def show_picture(self) -> str:
        """Report the first frame and return the session's ID."""
        await self.say("event.report", kind="first_frame", data={"width": 1280, "height": 720, "ms": 300})
        message = await self.hear("session.status", status="live")
        session_id: str = message["session_id"]
        return session_id


@asynccontextmanager
async def browser(user: Any, slug: str, **options: Any) -> AsyncIterator[Tab]:
    tab = await sync_to_async(Tab)(user, slug, **options)
    connected, _ = await tab.connect(timeout=WAIT_TIMEOUT_S)
    assert connected
    yield tab
    await tab.disconnect(timeout=WAIT_TIMEOUT_S)
