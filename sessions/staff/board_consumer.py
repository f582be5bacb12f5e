"""A page of the live board: told what has changed of everything that is open, and heard when somebody stops it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from django.db import DatabaseError
from django.utils import timezone

from heygen_portal.people.access.live_access import Loss
from heygen_portal.runtime import background, client_address
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.audit import reasons
from sessions.lifecycle import broadcast
from sessions.staff import board, stop_sessions
from sessions.web import incoming
from sessions.web.page_socket import Handler, PageSocket
from sessions.web.session_consumer import CLOSE_NOT_FOUND, CLOSE_SIGNED_OUT

logger = logging.getLogger(__name__)

CALM_S = 0.5
"""What comes together is told together."""
LOOK_S = 10.0
"""A look without news: figures move on, a message may have been lost, a role may have been taken away."""


class BoardConsumer(PageSocket):
    """One page of the board. What it may do is asked again each time: roles change while it is open."""

    permission = board.SEE
    is_for_staff = True

    async def __call__(self, *args: Any) -> None:
        self.shown: board.Board | None = None
        self.moved = asyncio.Event()
        self.telling: asyncio.Future[None] | None = None
        await super().__call__(*args)

    async def connect(self) -> None:
        user: Any = self.scope["user"]
        if not user.is_authenticated:
            await self.close(code=CLOSE_SIGNED_OUT)
            return
        if not await self.may_connect():
            return
        if not await in_thread(board.may_see)(user.pk):
            await self.close(code=CLOSE_NOT_FOUND)
            return
        self.user_id = user.pk
        await self.channel_layer.group_add(broadcast.BOARD, self.channel_name)
        await self.open_for_page()
        self.telling = background.keep(self.tell_on())

    async def disconnect(self, code: int) -> None:
        await self.leave()
        await self.channel_layer.group_discard(broadcast.BOARD, self.channel_name)

    async def leave(self) -> None:
        await super().leave()
        if self.telling:
            self.telling.cancel()

    async def tell_on(self) -> None:
        """Tell what has changed, for as long as the page is there and its person may see it."""
        while self.is_open:
            self.moved.clear()
            try:
                await self.tell_changes()
            except DatabaseError:
                logger.exception("the board could not be read")
            with suppress(TimeoutError):
                await asyncio.wait_for(self.moved.wait(), LOOK_S)
            await asyncio.sleep(CALM_S)

    async def tell_changes(self) -> None:
        found = await in_thread(self.localized)(board.look, self.user_id)
        if found is None:
            await self.access_lost(Loss.ROLE)
        elif told := found.changes(self.shown):
            await self.send_json({"type": "board.changed", "now": timezone.now().isoformat(), **told})
        self.shown = found

    async def board_moved(self, message: dict[str, Any]) -> None:
        """Something has happened that the board shows."""
        self.moved.set()

    # What the page says

    async def on_stop(self, content: dict[str, Any]) -> None:
        wanted, reason = content.get("sessions"), reasons.checked(content.get("reason"))
        if wanted != "all" and not isinstance(wanted, list):
            raise errors.BadMessage
        ids = None if wanted == "all" else [incoming.uuid(one) for one in wanted]
        user = await self.allowed()
        stops = await stop_sessions.stop(user.pk, client_address.of_socket(self.scope), ids, reason)
        await self.send_json({"type": "board.stopping", "count": stops.begun})
        outcome = await stop_sessions.outcome(stops)
        self.moved.set()  # a provider's refusal moves no status
        await self.send_json({"type": "board.stopped", "words": self.localized(stop_sessions.in_words, outcome)})

    async def on_remove(self, content: dict[str, Any]) -> None:
        place = content.get("place")
        if not isinstance(place, int) or isinstance(place, bool):
            raise errors.BadMessage
        await self.allowed()
        if not await in_thread(stop_sessions.remove)(place):
            raise errors.NotFound

    async def allowed(self) -> Any:
        """Return the person, if they may stop sessions. Raises NotFound: to others there is nothing to stop."""
        await self.check_access()
        user = await in_thread(board.may_see)(self.user_id)
        if user is None or not await in_thread(user.has_perm)(board.STOP):
            raise errors.NotFound
        return user

    HANDLERS: ClassVar[Mapping[str, Handler]] = {"board.stop": on_stop, "board.remove": on_remove}
