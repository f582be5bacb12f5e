"""The WebSocket of one browser tab, described in docs/websocket-protocol.md.

It parses messages, calls services and relays events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, ClassVar
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from avatars.models import Persona
from heygen_portal import providers
from heygen_portal.people.access.live_access import Claim, Loss
from heygen_portal.providers.contract.provider import RoomAccess, RoomCommand, TaskKind
from heygen_portal.runtime import background, budgets, client_address
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import control, queries, send_task, stop
from sessions.actions.start import StartAttempt
from sessions.brain import running, turn
from sessions.brain.tools import contact
from sessions.capacity import slots
from sessions.capacity.leases import this_process
from sessions.capacity.queue import TabAddress
from sessions.lifecycle import broadcast, end_evidence, transitions
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import Answer, EndReason, OwnerId, Purpose, Status, StreamingSession
from sessions.presence import brain_access, observers, own_rooms, tabs
from sessions.presence.prepared_room import PreparedRoom
from sessions.timeline.page_clock import PageClock
from sessions.web import incoming, page_reports, report_gate
from sessions.web.page_socket import REF, Handler, PageSocket
from sessions.web.report_gate import URGENT_KINDS, ReportGate

# Close codes: an HTTP status plus 4000, the range that applications may use.
CLOSE_SIGNED_OUT, CLOSE_NOT_FOUND = 4401, 4404
# How long a page may take to publish a command: LiveKit waits for a connection that is being restored.
PUBLISH_TIMEOUT_S = 20.0
# What the page says of a text whose answer failed, by the answer's state.
ANSWER_FAILURES: Mapping[str, Any] = {
    Answer.State.NOT_SENT: _("The avatar could not say the answer. Try again."),
    Answer.State.ABANDONED: _("The answer was lost. Try again."),
    Answer.State.FALLBACK: _("There is no answer right now. Try again later."),
}
# From a tab's leaving until dropped reports are counted: by then its session has ended unless a tab came back.
DROP_COUNT_DELAY = transitions.TAB_GRACE + transitions.STOP_TIMEOUT


class SessionConsumer(PageSocket):
    """One browser tab on one persona's page."""

    def __init__(self, purpose: Purpose = Purpose.TALK) -> None:
        super().__init__()
        self.purpose = purpose
        self.permission = slots.PERMISSIONS[purpose]

    async def __call__(self, *args: Any) -> None:
        self.session_id: UUID | None = None
        self.session_persona_id: int | None = None
        self.starts: list[StartAttempt] = []
        self.prepared_room = PreparedRoom()
        self.awaits_room_of: UUID | None = None  # the session whose room this tab has asked for
        self.join_lock = asyncio.Lock()
        self.sent_lines_of: UUID | None = None  # the session whose lines this tab has received,
        self.last_sent_line = 0  # up to this line's ID
        self.report_lock = asyncio.Lock()  # keeps reports in the order the page sent them
        self.clock = PageClock()
        self.report_gate = ReportGate()
        self.command_numbers = count(1)
        self.publications: dict[int, asyncio.Future[bool]] = {}  # commands that the page has not confirmed
        await super().__call__(*args)

    async def connect(self) -> None:
        user: Any = self.scope["user"]  # put there by AuthMiddlewareStack
        self.persona_slug = self.scope["url_route"]["kwargs"]["persona"]
        if not user.is_authenticated:
            await self.close(code=CLOSE_SIGNED_OUT)
            return
        self.owner: OwnerId = user.pk
        if not await self.may_connect():
            return
        persona = await in_thread(queries.find_persona)(user, self.persona_slug, self.purpose)
        if not persona:
            await self.close(code=CLOSE_NOT_FOUND)
            return
        await self.open_for(persona)

    async def open_for(self, persona: Persona) -> None:
        """Accept the socket of a page of this persona."""
        self.persona_id = persona.pk
        self.has_own_rooms = persona.avatar.account.has_own_rooms
        self.prepares_access_to = persona.avatar.account if persona.is_heard_by_own_brain else None
        providers.for_account(persona.avatar.account)  # opens connections before Start needs them
        await this_process.hold_lease()
        await self.open_for_page()

    def personas(self) -> frozenset[int]:
        """Return the personas of the page and of its session.

        Another page may have started the session. Trials need none.
        """
        own = {self.persona_id} if self.purpose == Purpose.TALK else set()
        return frozenset(own | ({self.session_persona_id} if self.session_persona_id else set()))

    def follow_persona(self, session: StreamingSession) -> None:
        """Include this session's persona in access checks from now on."""
        self.session_persona_id = session.persona_id if session.purpose == Purpose.TALK else None
        if isinstance(self.claim, Claim):
            self.claim = replace(self.claim, persona_ids=self.personas())

    async def disconnect(self, code: int) -> None:
        await self.leave()  # first: the channel layer may be away
        await self.stop_relaying()

    async def access_lost(self, loss: Loss) -> None:
        """Stop the session if the account, role or persona is gone.

        After a sign-out the grace period applies.
        """
        session_id = self.session_id
        if session_id:
            running.interrupt(session_id, running.ACCESS)  # before any query
        await super().access_lost(loss)
        if session_id:
            await turn.interrupt(session_id, running.ACCESS)
        evidence = end_evidence.access_lost(self.owner, loss)
        lost = {session_id} if session_id and loss == Loss.PERSONA else set()
        if loss in (Loss.DEACTIVATED, Loss.ROLE):  # this tab may have joined another session meanwhile
            lost |= set(await in_thread(queries.running_of)(self.owner, self.purpose))
        for each in lost:
            await stop.stop_by_id(each, EndReason.STAFF_STOPPED, evidence)

    async def leave(self) -> None:
        """Record that this tab is gone, even if the tab's own task is cancelled.

        Idempotent.
        """
        await super().leave()
        self.prepared_room.drop()
        for published in self.publications.values():
            if not published.done():
                published.set_result(False)
        if self.session_id or self.waiting_start:
            this_process.forget_session(self.channel_name)
            leaving = asyncio.ensure_future(self._leave())
            background.spawn(leaving)
            await asyncio.shield(leaving)  # a server that shuts down cancels this task
            if self.session_id:
                background.spawn(self._record_dropped_reports(self.session_id))
                background.call_later(DROP_COUNT_DELAY, partial(report_gate.record_dropped, self.session_id))
                stop.stop_if_abandoned(self.session_id)

    async def _record_dropped_reports(self, session_id: UUID) -> None:
        async with self.report_lock:  # after the reports that are being stored
            await report_gate.record_dropped(session_id)

    async def _leave(self) -> None:
        if waiting := self.waiting_start:
            await waiting.give_up()
        if not self.is_handed_over:
            await in_thread(tabs.leave)(self.channel_name)

    # Messages from the page

    @property
    def address(self) -> str | None:
        return client_address.of_socket(self.scope)

    async def spend(self, budget: str) -> None:
        """Charge a message to the budgets of its session, user and address.

        Raises NoSession, TooManyRequests.
        """
        await budgets.spend(budget, session=self.current_session_id(), person=self.owner, address=self.address)

    async def take_in_advance(self, budget: str) -> None:
        """Save the first message of a budget the round trips to Redis."""
        await budgets.take_in_advance(budget, session=self.session_id, person=self.owner, address=self.address)

    async def on_start(self, content: dict[str, Any]) -> None:
        request = replace(incoming.start_request(content), purpose=self.purpose)
        if self.waiting_start:
            raise errors.AlreadyStarted
        address = TabAddress(this_process.id, self.channel_name)
        attempt = StartAttempt(self.owner, self.persona_slug, request, address, self)
        self.starts.append(attempt)
        try:
            await self.check_access()
            await self.prepare_owner(content)
            await budgets.spend("start", person=self.owner, address=self.address)
            is_started = await attempt.run()
        finally:
            self.starts.remove(attempt)
        if not is_started:
            await self.send_json({"type": "queue.left"})

    async def prepare_owner(self, content: dict[str, Any]) -> None:
        """Do what must precede a start by this owner. Raises SessionError."""

    @property
    def waiting_start(self) -> StartAttempt | None:
        """The start of this tab that waits for a slot.

        Once the provider has been asked, it is a session instead.
        """
        return next((attempt for attempt in self.starts if attempt.is_waiting), None)

    def take_prepared_room(self) -> str:
        return self.prepared_room.take()

    async def on_prepare(self, content: dict[str, Any]) -> None:
        """Create before the user presses Start what a session needs: the room in our own LiveKit server, and the
        provider's access to the brain.
        """
        if not (self.has_own_rooms or self.prepares_access_to):
            return
        if self.session_id and await in_thread(queries.is_running)(self.session_id):
            return
        await self.check_access()
        await budgets.spend("prepare", person=self.owner, address=self.address)
        if self.prepares_access_to:
            background.spawn(brain_access.prepare(self.prepares_access_to))
        if not self.has_own_rooms:
            return
        if room := await self.prepared_room.open():
            await self.give_room(room, is_waiting=True)
        if not self.is_open:
            self.prepared_room.drop()

    async def on_rejoin(self, content: dict[str, Any]) -> None:
        await self.check_access()
        await budgets.spend("prepare", person=self.owner, address=self.address)
        await self.give_room(await own_rooms.renew_access(self.current_session_id()))

    async def on_join(self, content: dict[str, Any]) -> None:
        await self.check_access()
        await budgets.spend("join", person=self.owner, address=self.address)
        async with self.join_lock:
            await self.join(incoming.uuid(content.get("session_id")), content)

    async def join(self, session_id: UUID, content: dict[str, Any]) -> None:
        session = await in_thread(queries.find_own)(self.owner, session_id)
        if not session:
            raise errors.NotFound
        self.follow_persona(session)
        if session.purpose == Purpose.TALK and session.persona_id != self.persona_id:
            await self.check_access()
        await this_process.ensure_lease()
        left = self.session_id if self.session_id != session.pk else None
        self.awaits_room_of = session.pk if content.get("room") is True else None
        await in_thread(tabs.enter)(session.pk, this_process.id, self.channel_name)
        await self.follow(session.pk)
        if left:
            stop.stop_if_abandoned(left)
        has_room = session.room and session.status in (Status.CONNECTING, Status.LIVE)
        if has_room and content.get("room") is True:  # before the lines, because the page waits for it
            await self.on_rejoin(content)
        await self.send_lines(session.pk, after=self.last_sent_line if self.sent_lines_of == session.pk else 0)
        if session.room:
            await self.relay(await in_thread(observers.state)(session.pk, timezone.now()))

    async def send_lines(self, session_id: UUID, after: int = 0) -> None:
        """Send the newest lines of a conversation with an ID above `after`."""
        keys = await in_thread(queries.newest_line_ids)(session_id, after)
        if await in_thread(queries.has_older_lines)(session_id, keys, after):
            await self.relay(broadcast.LinesLeftOut(url=self.conversation_url(session_id)))
        for start in range(0, len(keys), queries.LINES_PER_BATCH):
            if not self.is_open:
                return
            for line in await in_thread(queries.lines_for_page)(keys[start : start + queries.LINES_PER_BATCH]):
                await self.relay(self.localized(broadcast.UtteranceStored.of, line))
        self.sent_lines_of, self.last_sent_line = session_id, max(keys, default=after)

    def conversation_url(self, session_id: UUID) -> str:
        """Return the address of the page with all lines; empty if the owner has none."""
        return reverse("sessions:conversation", args=[session_id])

    async def stop_relaying(self) -> None:
        """Relay no more events of this tab's session, which stays its session."""
        if self.session_id:
            await self.channel_layer.group_discard(broadcast.group_name(self.session_id), self.channel_name)

    async def unfollow(self) -> None:
        """Leave this tab without a session."""
        if self.session_id:
            await self.stop_relaying()
            this_process.forget_session(self.channel_name)
            self.session_id = None

    async def follow(self, session_id: UUID) -> None:
        """Make this the tab's session: relay its events, and its status at once."""
        if self.session_id != session_id:
            await self.unfollow()
        self.session_id = session_id
        this_process.remember_session(self.channel_name, session_id)
        try:
            await self.channel_layer.group_add(broadcast.group_name(session_id), self.channel_name)
            if session := await in_thread(queries.find_own)(self.owner, session_id):
                self.follow_persona(session)
                await self.relay(broadcast.StatusChanged.of(session))
        except RuntimeError:
            if self.is_open:
                raise
            # The channel layer does not know a tab that has left.
        finally:
            if not self.is_open:  # the tab left before it was recorded on the session
                await self.leave()

    async def on_task(self, content: dict[str, Any]) -> None:
        text, ref, kind = content.get("text"), content.get("ref", ""), content.get("kind")
        if not isinstance(text, str) or not isinstance(ref, str) or not REF.fullmatch(ref):
            raise errors.BadMessage
        if kind not in tuple(TaskKind):
            raise errors.BadMessage
        if isinstance(self.owner, UUID) and not ref:
            raise errors.BadMessage  # without a sender, only the greeting has none
        session_id = self.current_session_id()
        async with send_task.session_lock(session_id):
            # Inside the lock, so that texts keep their order.
            await self.spend("task")
            earlier = await send_task.send_task(
                session_id,
                text=text,
                kind=TaskKind(kind),
                user_id=self.owner if isinstance(self.owner, int) else None,
                ref=ref,
                give_command=self.give_command,
                require_access=self.require_access,
            )
        if earlier:
            await self.relay(earlier)

    async def on_interrupt(self, content: dict[str, Any]) -> None:
        await self.spend("act")
        await control.interrupt(self.current_session_id(), self.give_command)

    async def on_person(self, content: dict[str, Any]) -> None:
        await self.spend("message")
        is_told = await contact.ask_for_person(self.current_session_id(), contact.BY_USER)
        await self.send_json({"type": "person.asked", "is_told": is_told})

    async def on_message(self, content: dict[str, Any]) -> None:
        address, text = content.get("contact"), content.get("text")
        if not isinstance(address, str) or not isinstance(text, str):
            raise errors.BadMessage
        await self.spend("message")
        is_mailed = await contact.leave_message(self.current_session_id(), address, text)
        await self.send_json({"type": "message.left", "is_mailed": is_mailed})

    async def on_published(self, content: dict[str, Any]) -> None:
        number, is_sent = content.get("id"), content.get("is_sent")
        if not isinstance(number, int) or not isinstance(is_sent, bool):
            raise errors.BadMessage
        published = self.publications.get(number)
        if published is None:
            await self.spend("act")  # too late, or made up
        elif not published.done():
            published.set_result(is_sent)

    async def on_stay(self, content: dict[str, Any]) -> None:
        await self.spend("act")
        await control.stay(self.current_session_id())

    async def on_stop(self, content: dict[str, Any]) -> None:
        if waiting := self.waiting_start:
            await waiting.give_up()
            return
        await stop.stop_by_id(self.current_session_id(), EndReason.USER_STOPPED, end_evidence.person(self.owner))

    async def on_leave_queue(self, content: dict[str, Any]) -> None:
        if not (waiting := self.waiting_start):
            raise errors.NoSession
        await waiting.give_up()

    async def on_report(self, content: dict[str, Any]) -> None:
        session_id = self.current_session_id()
        # A session that becomes live is greeted, and the greeting must precede texts that wait for the lock.
        may_go_live = page_reports.kind_of(content) in (EventKind.FIRST_FRAME, EventKind.LADDER)
        task_lock = send_task.session_lock(session_id) if may_go_live else nullcontext()
        if may_go_live:
            background.spawn(self.take_in_advance("task"))
        async with task_lock:
            async with self.report_lock:
                if not await self.report_gate.admit(session_id, self.owner, content, self.address):
                    return
                outcome = await page_reports.store(session_id, content, self.clock)
            if outcome.greeting:
                await send_task.deliver(outcome.greeting.session, outcome.greeting, self.give_command)
        if outcome.follow_up:  # outside the lock, so that no report waits for the provider
            await outcome.follow_up()

    # Otherwise the page would believe that it is in a session that ends without it.
    NEEDED = frozenset({"session.join"})
    HANDLERS: ClassVar[Mapping[str, Handler]] = {
        "session.start": on_start,
        "session.join": on_join,
        "room.prepare": on_prepare,
        "room.rejoin": on_rejoin,
        "session.stay": on_stay,
        "session.stop": on_stop,
        "queue.leave": on_leave_queue,
        "task.send": on_task,
        "task.interrupt": on_interrupt,
        "person.ask": on_person,
        "message.leave": on_message,
        "room.published": on_published,
        "event.report": on_report,
    }

    def lane(self, content: dict[str, Any]) -> str:
        """Keep messages that end a session or make it live apart from a flood of reports."""
        if content["type"] in ("session.stop", "queue.leave", "room.published"):
            return "urgent"
        if content["type"] == "event.report":
            return "urgent" if str(content.get("kind")) in URGENT_KINDS else "report"
        return ""

    def overflowed(self, lane: str) -> None:
        if lane == "report":
            self.report_gate.overflowed(self.session_id)

    def current_session_id(self) -> UUID:
        """Return this tab's session. Raises NoSession."""
        if self.session_id is None:
            raise errors.NoSession
        return self.session_id

    # Messages to the page

    async def session_event(self, message: dict[str, Any]) -> None:
        """Relay an event of the session's group, with texts in this tab's language."""
        event = message["event"]
        if event["type"] == broadcast.StatusChanged.type:
            event |= {
                "now": timezone.now().isoformat(),
                "tab": tabs.tab_key(self.channel_name),
                "words": self.localized(end_evidence.own_label, event["reason"]),
            }
            if event["status"] == Status.ENDED and event["session_id"] == str(self.session_id):
                background.spawn(self._record_dropped_reports(UUID(event["session_id"])))
        elif event["type"] == broadcast.TaskSent.type and event["code"]:
            event |= {"words": self.localized(errors.failure_words, event["code"])}
        elif event["type"] == broadcast.AnswerEnded.type and (words := ANSWER_FAILURES.get(event["state"])):
            event |= {"words": self.localized(str, words)}
        await self.send_json(event)

    async def events_missed(self, message: dict[str, Any]) -> None:
        """Send the state again after an outage of Redis. The page ignores lines that it has."""
        if waiting := self.waiting_start:
            waiting.wake()
        async with self.join_lock:
            if self.session_id:
                await self.follow(self.session_id)
                await self.send_lines(self.session_id, after=self.last_sent_line)

    async def queue_moved(self, message: dict[str, Any]) -> None:
        """Wake the start that waits in the queue."""
        if waiting := self.waiting_start:
            waiting.wake()

    async def relay(self, event: broadcast.Event) -> None:
        await self.session_event(event.envelope())

    async def give_room(self, room: RoomAccess, *, is_waiting: bool = False) -> None:
        access = {"url": room.url, "token": room.token, "name": room.name, "waits": is_waiting}
        self.awaits_room_of = None
        await self.send_json({"type": "session.room", **access})
        # If the socket broke while the session started, the page has opened another.
        if self.session_id and not self.is_open and not is_waiting:
            given = {"type": "room.given", "session_id": self.session_id.hex, "access": access}
            group = broadcast.group_name(self.session_id)
            background.send_soon(partial(self.channel_layer.group_send, group, given))

    async def room_given(self, message: dict[str, Any]) -> None:
        """Give the page the room that its former socket did not receive.

        Other tabs of the session did not ask for it, and would put that page out of the room.
        """
        if self.awaits_room_of == UUID(message["session_id"]):
            self.awaits_room_of = None
            await self.send_json({"type": "session.room", **message["access"]})

    async def give_command(self, command: RoomCommand) -> bool:
        """Have the page publish a command in its room; return whether it did."""
        if not self.is_open:
            return False
        number = next(self.command_numbers)
        published = self.publications[number] = asyncio.get_running_loop().create_future()
        order = {"id": number, "topic": command.topic, "payload": command.payload}
        try:
            await self.send_json({"type": "room.publish", **order})
            return await asyncio.wait_for(published, PUBLISH_TIMEOUT_S)
        except TimeoutError:
            return False
        finally:
            del self.publications[number]
