"""A typed conversation through the socket of a served portal, without a browser."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.servers import Portal
from tests.timeouts import WAIT_TIMEOUT_S

SIGN_IN = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User

person = User.objects.get(username="demo")
login = import_module(settings.SESSION_ENGINE).SessionStore()
login[SESSION_KEY] = str(person.pk)
login[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
login[HASH_SESSION_KEY] = person.get_session_auth_hash()
login.save()
print(login.session_key)
"""


@dataclass
class Conversation:
    """What a page sent, and the messages that it received."""

    session_id: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)


def hold(portal: Portal, *texts: str, first_frame: dict[str, Any] | None = None) -> Conversation:
    """Start a session as the user demo, send each text, and end the session."""
    cookie = portal.manage("shell", "-v0", "-c", SIGN_IN).strip()
    return asyncio.run(asyncio.wait_for(_hold(portal.url, cookie, texts, first_frame or {}), 2 * WAIT_TIMEOUT_S))


async def _hold(url: str, cookie: str, texts: tuple[str, ...], first_frame: dict[str, Any]) -> Conversation:
    conversation = Conversation()
    headers = {"Cookie": f"sessionid={cookie}", "Origin": url}
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/ws/personas/lucia/?lang=en", headers=headers) as socket,
    ):

        async def wait_for(kind: str, **values: Any) -> dict[str, Any]:
            async for message in socket:
                content: dict[str, Any] = json.loads(message.data)
                conversation.received.append(content)
                assert content["type"] != "error", content
                if content["type"] == kind and values.items() <= content.items():
                    return content
            raise AssertionError(f"the socket closed before {kind}")

        await socket.send_json({"type": "session.start"})
        await wait_for("session.room")
        seen = {"width": 1280, "height": 720, "ms": 300, **first_frame}
        await socket.send_json({"type": "event.report", "kind": "first_frame", "data": seen})
        conversation.session_id = (await wait_for("session.status", status="live"))["session_id"]
        for number, text in enumerate(texts):
            await socket.send_json({"type": "task.send", "kind": "talk", "text": text, "ref": str(number)})
            await wait_for("task.sent", ref=str(number), status="sent")
        await socket.send_json({"type": "session.stop"})
        await wait_for("session.status", status="ended")
    return conversation
