"""No order of events leaves a session open, or ended without a reason."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
import time_machine
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from heygen_portal import providers
from heygen_portal.providers.contract.provider import ProviderError, RoomAccess, TaskKind
from sessions import errors
from sessions.actions import control, provision, send_task, start, stop
from sessions.actions.start import StartAttempt
from sessions.capacity import slots
from sessions.capacity.queue import TabAddress
from sessions.capacity.slots import StartRequest
from sessions.lifecycle import broadcast, events, transitions
from sessions.models import EndReason, QueueEntry, Quota, SessionEvent, StreamingSession
from sessions.presence import tabs
from tests.sessions.simulation import LONGEST_CALL, Process, RememberingProvider, Simulation, working_for
from tests.support.factories import WHY, PersonaFactory, UserFactory

SLOTS = 2
QUOTA = 2
"""Minutes a month, of one user."""
LEGAL = {
    "requested": {"creating", "stopping"},
    "creating": {"connecting", "stopping"},
    "connecting": {"live", "stopping"},
    "live": {"stopping"},
    "stopping": {"ended"},
    "ended": set(),
}
ROUNDS = 80
"""Of a worker that runs undisturbed, after which everything must have ended."""

T = TypeVar("T")

which = st.integers(0, 5)  # 0 is the oldest pending item, to which a failure shrinks


class SimulatedTab:
    """The tab as a start sees it. `Portal.tabs` has None for a closed one."""

    def __init__(self, portal: Portal, channel: str) -> None:
        self.portal = portal
        self.channel = channel
        self.session_id: UUID | None = None

    @property
    def is_open(self) -> bool:
        return self.portal.tabs[self.channel] is not None

    async def follow(self, session_id: UUID) -> None:
        self.session_id = session_id
        if not self.is_open:
            await self.portal.simulation.in_thread(tabs.leave)(self.channel)

    async def unfollow(self) -> None:
        self.session_id = None

    async def stop_relaying(self) -> None:
        pass

    async def send_json(self, message: dict[str, Any]) -> None:
        pass

    async def send_lines(self, session_id: UUID) -> None:
        pass

    async def give_room(self, room: RoomAccess) -> None:
        pass

    def take_prepared_room(self) -> str:
        return ""


def _as_session_in_creation(
    create_and_start: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[..., Coroutine[Any, Any, None]]:
    async def create_for_session(session: StreamingSession, *about: Any) -> None:
        working_for.set(session.pk)
        await create_and_start(session, *about)

    return create_for_session


class Portal(RuleBasedStateMachine):
    """Four users, two web processes, a worker, and an unreliable provider."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = time_machine.travel(timezone.now(), tick=False)
        self.time = self.clock.start()
        self.simulation = Simulation()
        self.worker = Process("worker")
        self.webs: dict[UUID, Process] = {}
        self.tabs: dict[str, UUID | None] = {}
        self.started: list[UUID] = []
        self.attempts: dict[str, StartAttempt] = {}
        self.is_redis_away = False
        self.reasons: dict[UUID, str] = {}
        self.foreign: set[str] = set()
        self.judged = 0

    @initialize(is_exclusive=st.booleans())
    def begin(self, is_exclusive: bool) -> None:
        account = {"is_exclusive": is_exclusive, "concurrency_limit": SLOTS}
        persona = PersonaFactory.create(
            published=True, greeting="", **{f"avatar__account__{name}": value for name, value in account.items()}
        )
        self.slug, self.account = persona.slug, persona.avatar.account
        self.people = UserFactory.create_batch(4, is_superuser=True)
        Quota.objects.create(user=self.people[3], minutes_per_month=QUOTA)
        self.provider = RememberingProvider(self.simulation, f"account-{self.account.pk}", places=SLOTS + 1)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(providers, "for_account", lambda account: self.provider)
        for name in ("publish", "publish_all"):
            self.patch.setattr(broadcast, name, lambda *args: None)
        self.patch.setattr(broadcast, "wake", self._wake)
        self.patch.setattr(slots, "open_in_tab", self._noting(slots.open_in_tab))
        self.patch.setattr(provision, "create_and_start", _as_session_in_creation(provision.create_and_start))
        for name in ("QUEUE_POLL", "RELEASE_POLL"):  # by simulated time only
            self.patch.setattr(start, name, timedelta(days=1))
        for module in (start, provision, control, stop):
            self.patch.setattr(module, "in_thread", self.simulation.in_thread)
        for _ in range(2):
            self._boot_web()

    def _boot_web(self) -> None:
        web = Process("web")
        process_id = UUID(int=len(self.webs) + (self.account.pk << 32))
        tabs.renew_lease(process_id)
        self.webs[process_id] = web

    def _alive(self) -> list[UUID]:
        return [process_id for process_id, web in self.webs.items() if web.is_alive]

    # Users

    @rule(who=st.integers(0, 3), where=st.integers(0, 1), is_taking_over=st.booleans())
    def press_start(self, who: int, where: int, is_taking_over: bool) -> None:
        process_id = self._alive()[where]
        channel = f"{self.account.pk}-{len(self.tabs)}"
        self.tabs[channel] = process_id
        request = StartRequest(is_taking_over=is_taking_over)
        address = TabAddress(process_id, channel)
        attempt = StartAttempt(self.people[who].pk, self.slug, request, address, SimulatedTab(self, channel))
        self.attempts[channel] = attempt
        self.simulation.spawn(self.webs[process_id], self._start(attempt))

    async def _start(self, attempt: StartAttempt) -> None:
        with suppress(errors.SessionError):
            await attempt.run()

    def _noting(self, open_in_tab: Callable[..., StreamingSession]) -> Callable[..., StreamingSession]:
        def open_and_note(*asked: Any) -> StreamingSession:
            session = open_in_tab(*asked)
            self.started.append(session.pk)
            return session

        return open_and_note

    def _wake(self, channels: Iterable[str]) -> None:
        for channel in () if self.is_redis_away else channels:
            self.attempts[channel].wake()

    @precondition(lambda self: self.tabs)
    @rule(n=which)
    def close_tab(self, n: int) -> None:
        channel = self._pick(list(self.tabs), n)
        process_id, self.tabs[channel] = self.tabs[channel], None
        if process_id and self.webs[process_id].is_alive:
            self.simulation.spawn(self.webs[process_id], self._leave(channel))

    async def _leave(self, channel: str) -> None:
        attempt = self.attempts.get(channel)
        if attempt and attempt.is_waiting:
            await attempt.give_up()
        await self.simulation.in_thread(tabs.leave)(channel)

    @precondition(lambda self: self.started)
    @rule(n=which, where=st.integers(0, 1))
    def come_back(self, n: int, where: int) -> None:
        process_id, channel = self._alive()[where], f"{self.account.pk}-{len(self.tabs)}"
        self.tabs[channel] = process_id
        self.simulation.spawn(self.webs[process_id], self._join(self._session(n), process_id, channel))

    async def _join(self, session_id: UUID, process_id: UUID, channel: str) -> None:
        session = await self.simulation.in_thread(StreamingSession.objects.get)(pk=session_id)
        await self.simulation.in_thread(tabs.enter)(session.pk, process_id, channel)

    @precondition(lambda self: self.started)
    @rule(n=which, what=st.sampled_from(["see", "stop", "staff", "say", "stay"]))
    def do_something(self, n: int, what: str) -> None:
        self.simulation.spawn(self.webs[self._alive()[0]], self._do(self._session(n), what))

    async def _do(self, session_id: UUID, what: str) -> None:
        try:
            match what:
                case "see":
                    await control.first_frame_rendered(session_id)
                case "stop":
                    await stop.stop_by_id(session_id, EndReason.USER_STOPPED, WHY)
                case "staff":
                    await stop.stop_by_id(session_id, EndReason.STAFF_STOPPED, WHY)
                case "say":
                    person = self.people[0].pk
                    await send_task.send_task(session_id, text="Hola", kind=TaskKind.TALK, user_id=person)
                case "stay":
                    await control.stay(session_id)
        except errors.SessionError:
            pass

    # The worker, and time

    @rule()
    def tick(self) -> None:
        self.simulation.spawn(self.worker, stop.enforce_due(timezone.now()))

    @rule()
    def reconcile(self) -> None:
        self.simulation.spawn(self.worker, self._reconcile())

    async def _reconcile(self) -> None:
        with suppress(ProviderError):  # the next minute follows
            await stop.reconcile(self.account)

    @rule(seconds=st.sampled_from([1, 5, 11, 20, 36, 46, 61, 130, 200]), are_taken=st.booleans())
    def let_time_pass(self, seconds: int, are_taken: bool) -> None:
        self._pass(timedelta(seconds=seconds), are_taken=are_taken)

    def _pass(self, time: timedelta, *, are_taken: bool) -> None:
        """Move the clock.

        Calls that wait too long are lost; live web processes renew their lease.
        """
        for call in list(self.simulation.calls):
            if call.sent_at + LONGEST_CALL < timezone.now() + time:
                if are_taken:
                    call.take()
                self.simulation.answer(call, is_lost=True)
        self.time.shift(time)
        for waits in self.attempts.values():  # each polls by itself now and then
            waits.wake()
        for process_id in self._alive():
            tabs.renew_lease(process_id)

    # Progress and faults

    @precondition(lambda self: self.simulation.steps)
    @rule(n=which)
    def take_step(self, n: int) -> None:
        self.simulation.take_step(self._pick(self.simulation.steps, n))

    @precondition(lambda self: self.simulation.steps)
    @rule()
    def take_newest_step(self) -> None:
        """The most recent start is quick and overtakes all others."""
        self.simulation.take_step(self.simulation.steps[-1])

    @rule()
    def continue_undisturbed(self) -> None:
        while self.simulation.steps or self.simulation.calls:
            if self.simulation.steps:
                self.simulation.take_step(self.simulation.steps[0])
            else:
                self.simulation.answer(self.simulation.calls[0])
            self.no_running_session_is_closed()

    @precondition(lambda self: self.simulation.calls)
    @rule(n=which, what=st.sampled_from(["take", "answer", "lose", "refuse"]))
    def provider_takes_a_step(self, n: int, what: str) -> None:
        call = self._pick(self.simulation.calls, n)
        match what:
            case "take":
                call.take()
            case "answer":
                self.simulation.answer(call)
            case "lose":
                self.simulation.answer(call, is_lost=True)
            case "refuse" if not call.is_taken:
                self.simulation.refuse(call)

    @precondition(lambda self: self.provider.open)
    @rule(n=which)
    def provider_ends_one(self, n: int) -> None:
        del self.provider.open[self._pick(sorted(self.provider.open), n)]

    @precondition(lambda self: not self.account.is_exclusive and len(self.provider.open) <= SLOTS)
    @rule()
    def another_portal_opens_one(self) -> None:
        self.foreign.add(self.provider.order("foreign"))

    @rule()
    def redis_is_lost_or_returns(self) -> None:
        self.is_redis_away = not self.is_redis_away

    @rule(n=st.integers(0, 2))
    def crash(self, n: int) -> None:
        """A process dies and is restarted at once."""
        if n == 2:
            self.simulation.kill(self.worker)
            self.worker = Process("worker")
        else:
            self.simulation.kill(self.webs[self._alive()[n]])
            self._boot_web()

    # What holds at all times

    @invariant()
    def a_reason_never_changes(self) -> None:
        for pk, reason in self._rows().exclude(end_reason="").values_list("pk", "end_reason"):
            assert self.reasons.setdefault(pk, reason) == reason

    @invariant()
    def no_row_is_lost_and_slots_are_respected(self) -> None:
        assert sorted(self._rows().values_list("pk", flat=True)) == sorted(self.started)
        assert self._rows().open().count() <= SLOTS

    @invariant()
    def no_running_session_is_closed(self) -> None:
        asked, self.judged = self.provider.asked_to_stop[self.judged :], len(self.provider.asked_to_stop)
        for provider_session_id in asked:
            assert provider_session_id not in self.foreign
            named = self._rows().filter(provider_session_id=provider_session_id).first()
            row = named or self._rows().get(pk=self.provider.made_for[provider_session_id])
            is_late = not named and row.created_at + transitions.CREATION_TIMEOUT <= timezone.now()
            assert row.status in ("stopping", "ended") or is_late

    # Finally the worker runs undisturbed

    def teardown(self) -> None:
        try:
            if hasattr(self, "account"):
                self._wait_for_the_end()
                self._check_record()
        finally:
            self.simulation.close()
            self.clock.stop()
            if hasattr(self, "patch"):
                self.patch.undo()
                self._rows().open().update(  # so that a failure of this example does not affect the next one
                    status="ended", end_reason="orphan_found", ended_at=timezone.now(), deadline_at=None
                )

    def _wait_for_the_end(self) -> None:
        for name in self.foreign:  # the other portal's sessions end, too
            self.provider.open.pop(name, None)
        for _ in range(ROUNDS):
            self.continue_undisturbed()
            if not self._rows().open().exists() and not self._left_open() and not self._wait():
                return
            self._pass(self._time_to_next_tick(), are_taken=False)
            self.tick()
            self.reconcile()
        left = list(self._rows().open().values_list("status", "provider_session_id", "deadline_at"))
        raise AssertionError(f"left open: here {left}, at the provider {self._left_open()}, waiting {self._wait()}")

    def _wait(self) -> list[str]:
        """Return the tabs that wait for a session or have a queue entry."""
        line = list(QueueEntry.objects.filter(account=self.account).values_list("channel", flat=True))
        waiting = [attempt for attempt in self.attempts.values() if attempt.is_waiting]
        return line + [one.address.channel for one in waiting if self.webs[one.address.process_id].is_alive]

    def _time_to_next_tick(self) -> timedelta:
        longest = timedelta(seconds=60)
        first = self._rows().open().order_by("deadline_at").first()
        wait = first.deadline_at - timezone.now() if first and first.deadline_at else longest
        return min(max(wait, timedelta(seconds=1)), longest)

    def _left_open(self) -> set[str]:
        """Return our open sessions at the provider."""
        ours = set(self.provider.open) - self.foreign
        if self.account.is_exclusive:
            return ours
        return ours & set(self._rows().values_list("provider_session_id", flat=True))

    def _check_record(self) -> None:
        for session in self._rows():
            assert session.status == "ended"
            assert session.end_reason in EndReason.values
            if session.user == self.people[3]:
                assert session.ends_at - session.created_at <= timedelta(minutes=QUOTA)
            previous, status = "", "requested"
            for number, event in enumerate(session.events.order_by("number"), start=1):
                assert (event.number, event.previous_hash) == (number, previous)
                assert event.hash == events.digest(event)
                previous = event.hash
                status = self._after(event, status)
            assert status == "ended"

    def _after(self, event: SessionEvent, status: str) -> str:
        if event.kind != "status":
            return status
        assert event.data["from"] == status
        assert event.data["to"] in LEGAL[status]
        return str(event.data["to"])

    def _rows(self) -> Any:
        return StreamingSession.objects.filter(account=self.account)

    def _session(self, n: int) -> UUID:
        return self._pick(list(reversed(self.started)), n)

    @staticmethod
    def _pick(things: list[T], n: int) -> T:
        return things[n % len(things)]


@pytest.mark.django_db(transaction=True)
def test_no_session_stays_open_in_any_order_of_events() -> None:
    """Complaints 2 to 7."""
    run(max_examples=8)


@pytest.mark.usefixtures("postgres")
def test_no_session_stays_open_in_any_order_of_events_on_postgresql() -> None:
    """Complaints 2 to 7."""
    run(max_examples=4)


@pytest.mark.proof
@pytest.mark.usefixtures("postgres")
def test_no_session_stays_open_in_many_more_orders_of_events() -> None:
    run(max_examples=400)


def run(max_examples: int) -> None:
    run_state_machine_as_test(
        Portal,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
