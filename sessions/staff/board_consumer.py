"""The WebSocket of one page of the live board.

It sends changes, and stops sessions on request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from django.utils import timezone

from heygen_portal.people.access.live_access import Loss
from heygen_portal.permissions import Permission
from heygen_portal.runtime import background, budgets, client_address
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import staff_reasons
from sessions.lifecycle import broadcast
from sessions.staff import board, stop_sessions
from sessions.web import incoming
from sessions.web.page_socket import Handler, PageSocket
from sessions.web.session_consumer import CLOSE_NOT_FOUND, CLOSE_SIGNED_OUT

logger = logging.getLogger(__name__)

# Changes within this time are sent together.
BATCH_DELAY_S = 0.5
# The board is read at least this often: figures change, and a message or a role may have been lost.
REFRESH_S = 10.0


class BoardConsumer(PageSocket):
    """One page of the board.

    Permissions are checked at each use, because roles may change while it is open.
    """

    permission = Permission.VIEW_SESSION
    is_for_staff = True

    async def __call__(self, *args: Any) -> None:
        self.shown: board.Board | None = None
        self.changed = asyncio.Event()
        self.sending: asyncio.Future[None] | None = None
        await super().__call__(*args)

    async def connect(self) -> None:
        user: Any = self.scope["user"]
        if not user.is_authenticated:
            await self.close(code=CLOSE_SIGNED_OUT)
            return
        if not await self.may_connect():
            return
        if not await in_thread(board.find_viewer)(user.pk):
            await self.close(code=CLOSE_NOT_FOUND)
            return
        self.user_id = user.pk
        await self.channel_layer.group_add(broadcast.BOARD, self.channel_name)
        await self.open_for_page()
        self.sending = background.spawn(self.send_changes_while_open())

    async def disconnect(self, code: int) -> None:
        await self.leave()
        await self.channel_layer.group_discard(broadcast.BOARD, self.channel_name)

    async def leave(self) -> None:
        await super().leave()
        if self.sending:
            self.sending.cancel()

    async def send_changes_while_open(self) -> None:
        """Send changes as long as the page is open and its user may see the board."""
        while self.is_open:
            self.changed.clear()
            try:
                await self.send_changes()
            except Exception:
                logger.exception("the board could not be read")  # the next round may succeed
            with suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), REFRESH_S)
            await asyncio.sleep(BATCH_DELAY_S)

    async def send_changes(self) -> None:
        found = await in_thread(self.localized)(board.read_board, self.user_id)
        if found is None:
            await self.access_lost(Loss.ROLE)
        elif changes := found.changes(self.shown):
            await self.send_json({"type": "board.changed", "now": timezone.now().isoformat(), **changes})
        self.shown = found

    async def board_moved(self, message: dict[str, Any]) -> None:
        """Handle the notice that something on the board has changed."""
        self.changed.set()

    async def events_missed(self, message: dict[str, Any]) -> None:
        """Read the board again after an outage of Redis."""
        self.changed.set()

    # Messages from the page

    async def on_stop(self, content: dict[str, Any]) -> None:
        selected, reason = content.get("sessions"), staff_reasons.checked(content.get("reason"))
        if selected != "all" and not isinstance(selected, list):
            raise errors.BadMessage
        ids = None if selected == "all" else [incoming.uuid(value) for value in selected]
        user = await self.require_stop_permission()
        request = await stop_sessions.stop(user.pk, client_address.of_socket(self.scope), ids, reason)
        await self.send_json({"type": "board.stopping", "count": request.begun_count})
        outcome = await stop_sessions.wait_for_outcome(request)
        self.changed.set()  # a provider's refusal changes no status, so nothing else announces it
        await self.send_json({"type": "board.stopped", "words": self.localized(stop_sessions.describe, outcome)})

    async def on_remove(self, content: dict[str, Any]) -> None:
        entry_id = content.get("place")
        if not isinstance(entry_id, int) or isinstance(entry_id, bool):
            raise errors.BadMessage
        await self.require_stop_permission()
        if not await in_thread(stop_sessions.remove_from_queue)(entry_id):
            raise errors.NotFound

    async def require_stop_permission(self) -> Any:
        """Return the user if they may stop sessions, and charge the action.

        Raises NotFound, TooManyRequests.
        """
        await self.check_access()
        user = await in_thread(board.find_viewer)(self.user_id)
        if user is None or not await in_thread(user.has_perm)(Permission.STOP_SESSION):
            raise errors.NotFound
        await budgets.spend("staff_action", person=user.pk, address=client_address.of_socket(self.scope))
        return user

    HANDLERS: ClassVar[Mapping[str, Handler]] = {"board.stop": on_stop, "board.remove": on_remove}
